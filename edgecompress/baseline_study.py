"""What only looks at a recipe's baseline: how much each of its parts matters, and what its calibration samples are worth.

A run of the recipe in the same folder shares the baseline.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgecompress.errors import ModelError, RecipeError
from edgecompress.progress import Progress
from edgecompress.quiet import noise_to
from edgecompress.recipe import load_recipe
from edgecompress.recipe.schema import Export, Recipe
from edgecompress.recipe.stages import PruneChannels
from edgecompress.recipe.stages.prune_channels import Removal
from edgecompress.recipe.suggestions import did_you_mean, received
from edgecompress.report.schema import REPORT_FILE
from edgecompress.store import RunFolder

if TYPE_CHECKING:
    from edgecompress.calibration.curve import CalibrationCurve
    from edgecompress.pipeline import Surroundings
    from edgecompress.sensitivity import Sensitivity
    from edgecompress.stage import State

SENSITIVITY_PAGES = {"channels": "sensitivity.html", "bits": "sensitivity_bits.html"}


@dataclass(frozen=True)
class CalibrationCheck:
    """What is wrong with the samples, one sentence each, and the curve of the output's error by their number."""

    findings: tuple[str, ...]
    curve: CalibrationCurve

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {"findings": list(self.findings), **self.curve.to_dict()}

    def _repr_html_(self) -> str:
        """The drawing, for notebooks."""
        from edgecompress.report.calibration_page import calibration_figure

        return calibration_figure(self.to_dict())


def measure_sensitivity(
    recipe: Recipe | str | Path, *, of: Literal["channels", "bits"] = "channels", out: str | Path | None = None,
    allow_code: bool = False, progress: Progress | None = None,
) -> Sensitivity:  # fmt: skip
    """Measures how much each group of channels of a recipe's baseline matters: the validation metric with it alone cut.

    Or each layer's bits: the metric with its weights alone rounded to 8, 6, 4, 3 and 2 bits. The folder gets a JSON file, with which a
    killed call goes on, and a page; a run of the recipe shares the baseline.

    Args:
        recipe: resolved and checked, or a path as for `run`.
        of: what is taken away.
        out: the run folder; absent: `runs/<name>`.
        allow_code: as for `run`.
        progress: where bars and lines go; silent by default.

    Raises:
        EdgeCompressError: bad recipe, data or model; see `errors`.
    """
    if of not in SENSITIVITY_PAGES:
        raise RecipeError(f"of must be one of {', '.join(SENSITIVITY_PAGES)}.{received(of)}{did_you_mean(of, SENSITIVITY_PAGES)}")
    with _measured_baseline(recipe, out, progress, allow_code=allow_code) as (surroundings, state, store):
        from edgecompress.report.sensitivity_page import render_sensitivity

        found = _sensitivity(surroundings, state, store, of)
        store.write(SENSITIVITY_PAGES[of], render_sensitivity(surroundings.recipe.name, found.to_dict(), of))
        return found


def check_calibration(
    recipe: Recipe | str | Path, *, out: str | Path | None = None, allow_code: bool = False, progress: Progress | None = None
) -> CalibrationCheck:
    """Checks the calibration samples of a recipe; nothing but the baseline is trained, which a run of the recipe shares.

    The folder gets `calibration.html`.

    Args:
        recipe: resolved and checked, or a path as for `run`.
        out: the run folder; absent: `runs/<name>`.
        allow_code: as for `run`.
        progress: where bars and lines go; silent by default.

    Raises:
        EdgeCompressError: bad recipe, data or model; see `errors`.
    """
    with _measured_baseline(recipe, out, progress, allow_code=allow_code) as (surroundings, state, store):
        from edgecompress.report.calibration_page import render_calibration

        found = _calibration(surroundings, state)
        store.write("calibration.html", render_calibration(surroundings.recipe.name, found.to_dict()))
        return found


@contextmanager
def _measured_baseline(
    recipe: Recipe | str | Path, out: str | Path | None, progress: Progress | None, *, allow_code: bool
) -> Iterator[tuple[Surroundings, State, RunFolder]]:
    """The baseline, trained or loaded, in its folder: a finished run there stays as it is, its recipe too.

    Raises:
        EdgeCompressError: as `run_line`; RecipeError where a finished run has another baseline.
    """
    progress, recipe = progress or Progress(), recipe if isinstance(recipe, Recipe) else load_recipe(recipe, {})
    with RunFolder(Path(out or Path("runs") / recipe.name)) as store, noise_to(store.log):
        with progress.task("loading TensorFlow"):
            from edgecompress.pipeline import prepare, run_baseline
            from edgecompress.stage_keys import baseline_key
        surroundings = prepare(recipe, store, progress, allow_code=allow_code)
        if (store.path / REPORT_FILE).exists() and store.stage(0, "baseline", baseline_key(surroundings)).finished() is None:
            raise RecipeError(
                f"{store.path}: the folder must hold no finished run, or one with the baseline of this recipe. Received: one with "
                "another. Choose another with --out."
            )
        yield surroundings, run_baseline(surroundings)[0], store


def _sensitivity(surroundings: Surroundings, state: State, store: RunFolder, of: Literal["channels", "bits"]) -> Sensitivity:
    """Of all groups of channels, or of the bits of all layers.

    What the first stage that removes channels or neurons says of criterion and statistics holds; without one, its defaults.

    Raises:
        ModelError: no group of channels can be cut.
    """
    from edgecompress.graph.channels import channel_graph
    from edgecompress.techniques.low_bits.sensitivity import measure_bits
    from edgecompress.techniques.structured.curves import measure_channels

    context = surroundings.context(0, "sensitivity", state.model, state.keeps, store.path, surroundings.progress.say)
    if of == "bits":
        return measure_bits(state.model, context)
    config = next((stage for stage in surroundings.recipe.stages if isinstance(stage, Removal)), PruneChannels(fraction=0.5))
    graph = channel_graph(state.model)
    names = [group.name for group in graph.groups if not group.frozen.all()]
    if not names:
        raise ModelError(f"{state.model.name}: model must have a group of channels that can be cut. Received: none.")
    return measure_channels(state.model, graph, names, config.criterion, context, reestimate=config.reestimate)


def _calibration(surroundings: Surroundings, state: State) -> CalibrationCheck:
    """Checks the samples, and tries more and more of them."""
    from edgecompress.calibration.checks import check_calibration_data, check_statistics
    from edgecompress.calibration.curve import calibration_curve
    from edgecompress.export.chosen_layers import fitting
    from edgecompress.export.compatibility import CALIBRATED

    data, wanted = surroundings.data, surroundings.recipe.export
    samples = data.calibration.arrays()[0]
    findings = (*check_calibration_data(data), *check_statistics(state.model, samples))
    export = fitting(wanted, state.model) if wanted.format in CALIBRATED else Export(format="int8")
    curve = calibration_curve(
        state.model, export, samples, data.validation, seed=surroundings.recipe.seed, batch_size=data.batch_size,
        progress=surroundings.progress,
    )  # fmt: skip
    return CalibrationCheck(findings, curve)
