"""A search from its recipe to its folder: study, trials, front, chosen recipe, page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecompress.errors import GoalMissed, ModelError
from edgecompress.progress import Progress
from edgecompress.quiet import noise_to
from edgecompress.recipe import dump_recipe
from edgecompress.recipe.schema import Recipe
from edgecompress.recipe.space import make_space, search_of
from edgecompress.report.words import missed_text
from edgecompress.search.folder import CACHE, LOG, RESULT, search_folder
from edgecompress.store import RunFolder, storage_errors, write_atomic
from edgecompress.tracking import check_tracker, track_search

if TYPE_CHECKING:
    from edgecompress.latency.forecast import Forecast
    from edgecompress.runs import Run
    from edgecompress.search.ablation import Ablation
    from edgecompress.search.findings import Findings, Tried
    from edgecompress.search.study import Heartbeat

CHOSEN, FRONT, LOCK = "chosen", "front", "recipe.lock.yaml"


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How a search is run, apart from what its recipe says.

    Attributes:
        out: the search folder; None: `runs/NAME-search`.
        storage: URL of the database; None: SQLite in the folder.
        cache: folder of finished stages; None: in the folder.
        worker: only try recipes, and leave the end to another call.
        run_chosen: run the chosen recipe in the end.
        heartbeat_s: seconds between signs of life; None: those of the study, 20 for a new one.
        allow_code: as for a run.
        ssh_config: how to reach `benchmark.hosts`, handed to `ssh -F`.
    """

    out: Path | None = None
    storage: str | None = None
    cache: Path | None = None
    worker: bool = False
    run_chosen: bool = True
    heartbeat_s: int | None = None
    allow_code: bool = False
    ssh_config: Path | None = None


@dataclass(frozen=True)
class Searched:
    """A search that has ended, or whose time is over. `run` is that of the chosen recipe; None where it was not run."""

    folder: Path
    findings: Findings
    run: Run | None

    def _repr_html_(self) -> str:
        from edgecompress.report.search_page import search_fragment

        return search_fragment(self.findings.to_dict())


def search_recipe(recipe: Recipe, options: SearchOptions, progress: Progress) -> Searched:
    """Searches, continuing what earlier calls and other workers did.

    Args:
        recipe: with a `search:` block.
        options: see there.
        progress: where bars and lines go.

    Raises:
        EdgeCompressError: before any training: a folder that another search holds or has filled, a storage that cannot be reached, a
            study of another recipe, bad data; later: a folder that cannot be written, or no recipe of the space that runs.
    """
    search_of(recipe)
    check_tracker(recipe)
    folder = options.out or Path("runs") / f"{recipe.name}-search"
    with search_folder(folder, recipe.name, worker=options.worker), noise_to(folder / LOG):
        with progress.task("loading TensorFlow and Optuna"):
            from edgecompress.data import load_data
            from edgecompress.search.contradictions import check_goals
            from edgecompress.search.finalists import measure_finalists
            from edgecompress.search.findings import find
            from edgecompress.search.goals import left_to_the_run
            from edgecompress.search.loop import Worker
            from edgecompress.search.outcome import latency_threads
            from edgecompress.search.stage_cache import StageCache
            from edgecompress.search.study import default_storage, open_study, sources_of, storage_faults
        heartbeat, forecast = _heartbeat(options.heartbeat_s), _forecast(recipe, progress)
        with progress.task("loading the data"):
            data = load_data(recipe.data, recipe.task, seed=recipe.seed, allow_code=options.allow_code)
        url = options.storage or default_storage(folder)
        study = open_study(recipe, url, heartbeat, sources_of(recipe, data, forecast))
        cache = StageCache(options.cache or folder / CACHE)
        if options.storage and forecast is None and latency_threads(recipe) and not options.storage.startswith("sqlite"):
            progress.say("warning: each worker times its own trials; with workers on different machines, name target.latency_table")
        with progress.task("checking the goals"):
            check_goals(recipe, data, allow_code=options.allow_code)
        for name in left_to_the_run(recipe, None if forecast is None else forecast.table.host):
            progress.say(f"goal.{name} is of another host: no trial is judged by it, the run of the chosen recipe is")
        worker = Worker(recipe, study, cache, allow_code=options.allow_code)
        with storage_faults(url):
            worker.work(progress)
            findings = find(recipe, worker.slots(), worker.harvested())
        run = None
        if not options.worker:
            findings = measure_finalists(recipe, findings, forecast, progress, ssh_config=options.ssh_config)
            _write(recipe, findings, folder, progress)
            track_search(recipe, findings, folder, progress)
            _require_choice(recipe, findings)
            run = _run_chosen(recipe, findings, folder, cache, options, progress) if options.run_chosen else None
        return Searched(folder, findings, run)


def ablate_run(run: Path, *, orders: bool, allow_code: bool, progress: Progress) -> Ablation:
    """Leaves each stage of a finished run out in turn; the run folder gets `ablation.json` and `ablation.html`.

    Args:
        run: a run folder.
        orders: other orders of the stages too.
        allow_code: as for a run.
        progress: where bars go.

    Raises:
        RecipeError: no finished run is there, or one without stages.
        RunLocked: another process works in the folder.
    """
    from edgecompress.recipe import load_recipe
    from edgecompress.report.json_file import json_value

    recipe = load_recipe(run / LOCK)
    with RunFolder(run) as folder, noise_to(folder.log):
        with progress.task("loading TensorFlow"):
            from edgecompress.report.ablation_page import render_ablation
            from edgecompress.search.ablation import ablate
        found = ablate(recipe, run, progress, allow_code=allow_code, orders=orders)
        folder.write("ablation.html", render_ablation(found.to_dict()))
        folder.write("ablation.json", json.dumps(json_value(found.to_dict()), indent=1))
    return found


def _forecast(recipe: Recipe, progress: Progress) -> Forecast | None:
    """By the table that the recipe names, which must know what the goals speak of: no trial has trained yet."""
    from edgecompress.latency.forecast import forecast_of
    from edgecompress.search.outcome import predicted_threads

    forecast = forecast_of(recipe.target)
    if forecast is not None:
        predicted_threads(recipe, forecast)
        if forecast.doubt:
            progress.say(f"warning: {forecast.doubt}")
    return forecast


def _heartbeat(interval_s: int | None) -> Heartbeat | None:
    """What is asked for; None: nothing of its own."""
    from edgecompress.search.study import Heartbeat

    return None if interval_s is None else Heartbeat(interval_s, round(4.5 * interval_s))


def _write(recipe: Recipe, findings: Findings, folder: Path, progress: Progress) -> None:
    """`search.json`, `search.html`, the recipes of the front and the chosen one."""
    with progress.task("writing what was found"):
        from edgecompress.report.search_page import render_search

        with storage_errors(folder):
            (folder / FRONT).mkdir(exist_ok=True)
            for old in (folder / FRONT).glob("trial_[0-9]*.yaml"):  # of an earlier call
                old.unlink()
        for trial in findings.front:
            write_atomic(folder / FRONT / f"trial_{trial.number:04d}.yaml", recipe_text(recipe, findings, trial))
        chosen = "" if findings.choice is None else recipe_text(recipe, findings, findings.choice)
        if chosen:
            write_atomic(folder / f"{CHOSEN}.yaml", chosen)
        else:
            (folder / f"{CHOSEN}.yaml").unlink(missing_ok=True)  # of an earlier call
        values = findings.to_dict()
        write_atomic(folder / "search.html", render_search(values, chosen))
        write_atomic(folder / RESULT, json.dumps(values, indent=1))


def _require_choice(recipe: Recipe, findings: Findings) -> None:
    """Raises where no trial ran to its end: GoalMissed where all were rejected for limits that they would have missed, else ModelError."""
    if findings.choice is not None:
        return
    rejected = [trial for trial in findings.tried if trial.kind == "rejected"]
    if rejected and len(rejected) == len(findings.tried):
        nearest = min(rejected, key=lambda trial: sum(trial.misses.values()))
        missed = missed_text(nearest.misses, findings.limits, nearest.drop)
        raise GoalMissed(f"No trial keeps all limits, as predicted before training. The nearest, trial {nearest.number}, misses {missed}.")
    reasons = list(dict.fromkeys(trial.reason for trial in findings.tried if trial.reason))
    why = "; ".join(reasons[:3]) or "the time ended before one did"
    raise ModelError(f"{recipe.name}: some recipe of the space must run to its end. Received: none; {why}.")


def recipe_text(recipe: Recipe, findings: Findings, trial: Tried) -> str:
    """The recipe of a trial as plain YAML, with what it reached as comments."""
    found = make_space(recipe).recipe_at(trial.point)
    name = f"{recipe.name[:80]}_{trial.number:04d}"
    values = ", ".join(f"{key} {value:.6g}" for key, value in trial.values.items())
    missed = missed_text(trial.misses, findings.limits, trial.drop)
    origin = "" if trial.harvested_from is None else f" (harvested from trial {trial.harvested_from})"
    lines = [
        f"Trial {trial.number} of {len(findings.tried)}{origin}, "
        f"found by edgecompress search {recipe.name} on {datetime.now(UTC):%Y-%m-%d}.",
        f"On the validation split: {values}.",
        *([f"No trial was within all limits; this one misses least: {missed}."] if missed else []),
    ]
    return "".join(f"# {line}\n" for line in lines) + dump_recipe(found.model_copy(update={"name": name}))


def _run_chosen(recipe: Recipe, findings: Findings, folder: Path, cache: Any, options: SearchOptions, progress: Progress) -> Run:
    """The chosen recipe as an ordinary run, its stages lent by the cache: test split, verdict and latency for real."""
    from edgecompress.lease import measuring
    from edgecompress.recipe import load_recipe
    from edgecompress.runs import run_recipe

    path = folder / f"{CHOSEN}.yaml"
    if findings.choice is not None:
        cache.lend(findings.choice.stages, folder / CHOSEN)
    with measuring(progress.say):  # other workers may still train here
        return run_recipe(
            load_recipe(path), out=folder / CHOSEN, allow_code=options.allow_code, ssh_config=options.ssh_config, progress=progress
        )
