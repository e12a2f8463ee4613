"""A solve from its question to its folder: steps, chosen recipe, its run, pages."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edgecompress.errors import ModelError
from edgecompress.latency.forecast import forecast_of
from edgecompress.progress import Progress
from edgecompress.quiet import noise_to
from edgecompress.recipe import dump_recipe, load_recipe
from edgecompress.recipe.schema import LatencyGoal, Recipe
from edgecompress.report.json_file import json_value
from edgecompress.report.words import metric_text, missed_text
from edgecompress.solving.journal import FILE, Journal
from edgecompress.solving.question import Question, start_text
from edgecompress.solving.steps import Solution, Status, Step, instead, nearest, solution_of
from edgecompress.store import RunFolder, write_atomic

if TYPE_CHECKING:
    from edgecompress.runs import Run
    from edgecompress.solving.workshop import Workshop

PROBING = 0.3  # part of the minutes after which no further way is probed, if one was found
CHOSEN, START, REPORT = "chosen", "start.yaml", "report.json"


@dataclass(frozen=True, kw_only=True)
class SolveOptions:
    """How a solve is run, apart from what is asked.

    Attributes:
        out: its folder; None: `runs/NAME-solve`.
        minutes: that all calls in this folder may take before their last step begins; None: any.
        trials: steps that train; None: any number.
        run_chosen: run the chosen recipe in the end.
        allow_code: as for a run.
        ssh_config: handed to `ssh -F`.
    """

    out: Path | None = None
    minutes: float | None = None
    trials: int | None = None
    run_chosen: bool = True
    allow_code: bool = False
    ssh_config: Path | None = None

    @property
    def budget(self) -> dict[str, float | None]:
        return {"minutes": self.minutes, "trials": self.trials}


@dataclass(frozen=True)
class Solved:
    """A solve that has ended. `run` is that of the chosen recipe; None where it was not run."""

    folder: Path
    solution: Solution
    run: Run | None

    def _repr_html_(self) -> str:
        from edgecompress.report.solve_page import solve_fragment

        return solve_fragment(self.solution.to_dict())


def solve_question(question: Question, options: SolveOptions, progress: Progress) -> Solved:
    """Climbs until all limits are kept, the budget is spent or nothing is left; goes on where an earlier call of the same ended.

    Args:
        question: what is asked.
        options: see there.
        progress: where bars and lines go.

    Raises:
        RunLocked: another process works in the folder.
        EdgeCompressError: before any training: limits that nothing can keep, bad data or model, a host that is away, a folder of another
            question; later: a folder that cannot be written, or no step that runs.
    """
    folder = options.out or Path("runs") / f"{question.recipe.name}-solve"
    with RunFolder(folder) as store, noise_to(store.log):
        journal = Journal(folder / FILE, question)
        solution = _known(journal, options)
        if solution is None:
            store.write(START, start_text(question))
            if question.left_out:
                progress.say(question.left_out)
            solution = _climb(question, journal, folder, options, progress)
        run = _run_chosen(solution, folder, options, progress) if options.run_chosen else None
        return Solved(folder, solution, run)


def _known(journal: Journal, options: SolveOptions) -> Solution | None:
    """What an earlier call found, unless it stopped for want of a budget that has grown."""
    ending = journal.ending
    if ending is None:
        return None
    solution = solution_of(ending["solution"])
    has_grown = any(_more(options.budget[name], before) for name, before in ending["budget"].items())
    return None if solution.status == "budget spent" and has_grown else solution


def _more(now: float | None, before: float | None) -> bool:
    return before is not None and (now is None or now > before)


def _climb(question: Question, journal: Journal, folder: Path, options: SolveOptions, progress: Progress) -> Solution:
    """All steps, then the files that say what they reached."""
    with progress.task("loading TensorFlow"):
        from edgecompress.solving.clock import Clock
        from edgecompress.solving.workshop import Workshop
    forecast = forecast_of(question.recipe.target)
    if forecast is not None and forecast.doubt:
        progress.say(f"warning: {forecast.doubt}")
    clock = Clock(question.recipe, progress, options.ssh_config, forecast)
    workshop = Workshop(question, folder, journal, clock, progress, allow_code=options.allow_code)
    with progress.task("checking the limits"):
        floor = workshop.check_limits()
    steps, status = _drive(workshop, question.recipe, journal, options, progress)
    solution = _solution(question.recipe, steps, status, workshop.baseline, floor)
    if solution.choice is None:
        reasons = list(dict.fromkeys(step.reason for step in steps))
        raise ModelError(f"{solution.name}: some step must run to its end. Received: none; {'; '.join(reasons[:3])}.")
    write_atomic(folder / f"{CHOSEN}.yaml", _chosen_text(workshop.recipes[solution.choice.key], solution))
    _write_pages(solution, folder)
    journal.end(solution, options.budget)
    return solution


def _drive(workshop: Workshop, recipe: Recipe, journal: Journal, options: SolveOptions, progress: Progress) -> tuple[list[Step], Status]:
    """Runs what the climb asks for, until a step keeps all limits."""
    from edgecompress.solving.climb import Means, climb

    drop = recipe.goal.metric_drop
    steps: dict[str, Step] = {}

    def hurried() -> bool:  # by what steps took when they were done, so that a killed solve decides alike
        return options.minutes is not None and sum(step.seconds for step in steps.values()) > PROBING * 60 * options.minutes

    path = climb(Means(workshop.parts, 0.0 if drop is None else drop, workshop.bits, workshop.sizes, hurried))
    design = next(path)
    while True:
        done = list(steps.values())
        has_run = any(step.runs for step in done)  # the first ones train nothing, and without one there is no answer at all
        if has_run and not workshop.is_known(design) and _is_spent(done, journal.seconds, trains=design.trains, options=options):
            return done, "budget spent"
        step = workshop.run(design)
        if step.key not in steps:
            steps[step.key] = replace(step, number=len(steps))
            progress.say(f"{steps[step.key].number:02d} {in_words(recipe, step)}")
        if step.met:
            return list(steps.values()), "met"
        try:
            design = path.send(step)
        except StopIteration:
            return list(steps.values()), "nothing left"


def _is_spent(steps: list[Step], seconds: float, *, trains: bool, options: SolveOptions) -> bool:
    """Whether another step is too much. What is known costs nothing, so a killed solve ends where an undisturbed one does."""
    if options.minutes is not None and seconds >= 60 * options.minutes:
        return True
    return trains and options.trials is not None and sum(step.trained for step in steps) >= options.trials


def in_words(recipe: Recipe, step: Step) -> str:
    """A step in one line of the terminal."""
    if not step.runs:
        return f"{step.name}: left out: {step.reason}"
    return f"{step.name}: {figures(recipe, step)}  ({step.seconds:.1f} s)"


def figures(recipe: Recipe, step: Step) -> str:
    """What a step reached."""
    metric = recipe.task.metrics[0]
    values = [f"{metric} {metric_text(metric, step.metric)}", f"{step.bytes:,} bytes"]
    values += [] if step.p50_ms is None else [f"p50 {step.p50_ms:.4g} ms"]
    missed = missed_text(step.misses, _limits(recipe), step.drop)
    return f"{', '.join(values)}; {f'misses {missed}' if missed else 'keeps all limits'}"


def _solution(recipe: Recipe, steps: list[Step], status: Status, baseline: float, floor: dict[str, float]) -> Solution:
    chosen = nearest(steps)
    metric = recipe.task.metrics[0]
    return Solution(
        recipe.name, metric, recipe.task.rises(metric), _limits(recipe), baseline, status, steps, None if chosen is None else chosen.number,
        [] if chosen is None else chosen.missed, instead(steps, recipe.goal), floor,
    )  # fmt: skip


def _limits(recipe: Recipe) -> dict[str, float]:
    """Goal -> limit."""
    return {name: float(limit.limit if isinstance(limit, LatencyGoal) else limit) for name, limit in recipe.goal if limit is not None}


def _chosen_text(recipe: Recipe, solution: Solution) -> str:
    """The recipe of the chosen step as plain YAML, with what it reached as comments."""
    step = solution.choice
    lines = [f"Found by edgecompress solve {solution.name}."]
    if step is not None:
        lines += [f"Step {step.number} of {len(solution.steps)}: {step.name}.", f"On the validation split: {figures(recipe, step)}."]
    name = f"{recipe.name[:93]}_solved"
    return "".join(f"# {line}\n" for line in lines) + dump_recipe(recipe.model_copy(update={"name": name}))


def _write_pages(solution: Solution, folder: Path) -> None:
    """`solve.json`, `solve.md`, `solve.html`."""
    from edgecompress.report.solve_page import render_solve, render_solve_markdown

    values, chosen = solution.to_dict(), (folder / f"{CHOSEN}.yaml").read_text()
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    write_atomic(folder / "solve.html", render_solve(values, chosen, now))
    write_atomic(folder / "solve.md", render_solve_markdown(values, chosen, now))
    write_atomic(folder / "solve.json", json.dumps(json_value(values), indent=1))


def _run_chosen(solution: Solution, folder: Path, options: SolveOptions, progress: Progress) -> Run:
    """The chosen recipe as an ordinary run, or what an earlier call made of it: test split, verdict and latency for real."""
    from edgecompress.lease import measuring
    from edgecompress.report.schema import Report
    from edgecompress.runs import Run, run_recipe
    from edgecompress.search.stage_cache import StageCache

    recipe, run = load_recipe(folder / f"{CHOSEN}.yaml"), folder / CHOSEN
    if (run / REPORT).exists():
        report = Report.load(run)
        measured = {entry.host for entry in report.benchmark if entry.error is None}
        if report.recipe == recipe.model_dump(mode="json") and measured >= set(recipe.benchmark.hosts if recipe.benchmark else ()):
            return Run(run, report, allow_code=options.allow_code)
    if solution.choice is not None:
        StageCache(folder / "cache").lend(solution.choice.stages, run)
    with measuring(progress.say):
        return run_recipe(recipe, out=run, allow_code=options.allow_code, ssh_config=options.ssh_config, progress=progress)
