"""`edgecompress calibration`: what is wrong with the calibration samples of a recipe, and how many are enough."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecompress.progress import Progress
from edgecompress.quiet import noise_to
from edgecompress.recipe import load_recipe
from edgecompress.recipe.schema import Export, Recipe
from edgecompress.store import RunFolder

if TYPE_CHECKING:
    from edgecompress.calibration.curve import CalibrationCurve


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
    progress, recipe = progress or Progress(), recipe if isinstance(recipe, Recipe) else load_recipe(recipe, {})
    with RunFolder(Path(out or Path("runs") / recipe.name)) as store, noise_to(store.log):
        with progress.task("loading TensorFlow"):
            from edgecompress.report.calibration_page import render_calibration
        found = _study(recipe, store, progress, allow_code)
        store.write("calibration.html", render_calibration(recipe.name, found.to_dict()))
        return found


def _study(recipe: Recipe, store: RunFolder, progress: Progress, allow_code: bool) -> CalibrationCheck:
    """Trains or loads the baseline, then checks and tries."""
    from edgecompress import pipeline
    from edgecompress.calibration.checks import check_calibration_data, check_statistics
    from edgecompress.calibration.curve import calibration_curve
    from edgecompress.export.chosen_layers import fitting
    from edgecompress.export.compatibility import CALIBRATED

    surroundings, state = pipeline.measured_baseline(recipe, store, progress, allow_code=allow_code)
    data = surroundings.data
    samples = data.calibration.arrays()[0]
    findings = (*check_calibration_data(data), *check_statistics(state.model, samples))
    wanted = surroundings.recipe.export
    export = fitting(wanted, state.model) if wanted.format in CALIBRATED else Export(format="int8")
    curve = calibration_curve(
        state.model, export, samples, data.validation, seed=recipe.seed, batch_size=data.batch_size, progress=progress
    )  # fmt: skip
    return CalibrationCheck(findings, curve)
