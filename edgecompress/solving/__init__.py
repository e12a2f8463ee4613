"""From limits to a recipe: no space to write, a climb from cheap to costly that stops when all limits are kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecompress.progress import Progress, visible_progress

if TYPE_CHECKING:
    from edgecompress.solving.run import Solved


def solve(
    source: str | Path, goals: Mapping[str, Any] | None = None, *, data: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None, out: str | Path | None = None, minutes: float | None = None, trials: int | None = None,
    epochs: int | None = None, latency_table: str | Path | None = None, run_chosen: bool = True,
    ssh_config: str | Path | None = None, allow_code: bool = False, quiet: bool = False,
) -> Solved:  # fmt: skip
    """Looks for the cheapest recipe that keeps all limits; in a notebook the result shows its steps.

    Args:
        source: a recipe (its own stages and format play no part), or a Keras model: .keras, .h5, SavedModel folder.
        goals: limits as in the `goal:` block of a recipe, such as {"metric_drop": 0.01, "size_kb": 60, "p95_ms": {"limit": 5,
            "host": "pi4"}}; they go before those of the recipe. metric_drop and one more must be there.
        data: with a model file: an .npz, .csv or .py file, or a folder.
        overrides: values of the recipe by dotted path, such as {"data.preprocess.scale": 1.0}.
        out: the folder; absent: `runs/<name>-solve`.
        minutes: of all calls in this folder together; the step under way is finished.
        trials: steps that train.
        epochs: of the first recovery training; absent: a quarter of the model's own, 3 for a model file.
        latency_table: of a host that a limit names: its times are predicted, only what keeps all limits is measured there.
        run_chosen: run the chosen recipe in the end.
        ssh_config: how to reach the hosts of the limits, handed to `ssh -F`.
        allow_code: as for `run`.
        quiet: no progress bars.

    Returns:
        `solution` with all steps, `run` of the chosen recipe. Limits that were missed are in `solution.binding`, not raised.

    Raises:
        EdgeCompressError: bad limits, recipe, data or model, a host that is away; see `errors`.
    """
    from edgecompress.solving.question import ask
    from edgecompress.solving.run import SolveOptions, solve_question

    def path(given: str | Path | None) -> Path | None:
        return None if given is None else Path(given)

    question = ask(str(source), goals or {}, data=path(data), overrides=overrides, epochs=epochs, latency_table=path(latency_table))
    options = SolveOptions(
        out=path(out), minutes=minutes, trials=trials, run_chosen=run_chosen, allow_code=allow_code, ssh_config=path(ssh_config)
    )
    return solve_question(question, options, Progress() if quiet else visible_progress())
