"""A loop around the pipeline: many recipes of one space, the best of them, and what each stage is worth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecompress.progress import Progress, visible_progress
from edgecompress.recipe import load_recipe

if TYPE_CHECKING:
    from edgecompress.search.ablation import Ablation
    from edgecompress.search.run import Searched


def run_search(
    recipe: str | Path, *, overrides: Mapping[str, Any] | None = None, out: str | Path | None = None, storage: str | None = None,
    run_chosen: bool = True, ssh_config: str | Path | None = None, allow_code: bool = False, quiet: bool = False,
) -> Searched:  # fmt: skip
    """Searches the space of a recipe, continuing what an earlier call did; in a notebook the result shows its Pareto front.

    Args:
        recipe: path of a YAML file with a `search:` block, or `builtin:NAME.yaml`.
        overrides: values by dotted path, such as `{"search.trials": 20}`.
        out: the search folder; absent: `runs/<name>-search`.
        storage: URL of a database; absent: SQLite in the folder.
        run_chosen: run the chosen recipe in the end.
        ssh_config: how to reach `benchmark.hosts`, handed to `ssh -F`; absent: your own.
        allow_code: as for `run`.
        quiet: no progress bars.

    Raises:
        EdgeCompressError: bad recipe, space, storage, data or model; see `errors`. Missed goals are in the findings, not raised.
    """
    from edgecompress.search.run import SearchOptions, search_recipe

    options = SearchOptions(
        out=None if out is None else Path(out), storage=storage, run_chosen=run_chosen, allow_code=allow_code,
        ssh_config=None if ssh_config is None else Path(ssh_config),
    )  # fmt: skip
    return search_recipe(load_recipe(recipe, overrides or {}), options, Progress() if quiet else visible_progress())


def ablate(run: str | Path, *, orders: bool = False, allow_code: bool = False, quiet: bool = False) -> Ablation:
    """Leaves each stage of a finished run out in turn; the folder gets `ablation.json` and `ablation.html`.

    Args:
        run: a run folder.
        orders: other orders of the stages too.
        allow_code: as for `run`.
        quiet: no progress bars.

    Raises:
        EdgeCompressError: no finished run with stages is there.
    """
    from edgecompress.search.run import ablate_run

    return ablate_run(Path(run), orders=orders, allow_code=allow_code, progress=Progress() if quiet else visible_progress())
