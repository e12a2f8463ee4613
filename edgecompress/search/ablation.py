"""What each stage of a finished run is worth: the run with each of them left out, and the way from none to all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Any

from edgecompress.errors import EdgeCompressError, RecipeError
from edgecompress.evaluation import evaluate_tflite, verdict
from edgecompress.file_race import race_files
from edgecompress.lease import measuring
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Recipe
from edgecompress.recipe.search import MOST_ORDERED
from edgecompress.recipe.space import Space
from edgecompress.recipe.vary import vary_recipe
from edgecompress.search.outcome import Outcome
from edgecompress.search.stage_cache import StageCache
from edgecompress.search.trial import Laboratory, trial_recipe


@dataclass(frozen=True)
class Line:
    """The recipe with some of its stages.

    Attributes:
        kind: all; prefix: the first of them; without: all but one; order: all in another order.
        name: what it stands for: the last stage of a prefix, the stage that is left out, the order.
        stages: indices of its stages, in their order.
    """

    kind: str
    name: str
    stages: tuple[int, ...]


@dataclass(frozen=True)
class Measured:
    """A line and what it reached on the validation split.

    Attributes:
        drop: loss of the metric against the whole line, in its unit; negative where this line is better.
        interval: of `drop`, 95 %, paired.
        p50_ms: all lines timed in turns; None where the recipe has no benchmark.
        reason: why it could not run; then there is nothing else.
    """

    line: Line
    bytes: int | None = None
    macs: int | None = None
    metric: float | None = None
    drop: float | None = None
    interval: tuple[float, float] | None = None
    p50_ms: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Ablation:
    """All lines of a run; the first is the whole one. `rises`: whether more of the metric is better."""

    name: str
    metric: str
    rises: bool
    measured: list[Measured] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """For `ablation.json`."""
        return asdict(self)

    def _repr_html_(self) -> str:
        """The waterfall, for notebooks."""
        from edgecompress.report.ablation_page import ablation_fragment

        return ablation_fragment(self.to_dict())

    def of(self, kind: str) -> list[Measured]:
        """The lines of one kind."""
        return [found for found in self.measured if found.line.kind == kind]


def ablate(recipe: Recipe, run: Path, progress: Progress, *, allow_code: bool, orders: bool) -> Ablation:
    """Runs every line that differs from another, taking from the run what both share.

    Args:
        recipe: of the run.
        run: its folder, which gets a folder `ablation` with a cache, so that a killed call goes on.
        progress: where bars go.
        allow_code: as for a run.
        orders: compare the orders that the rules between stages allow, too.

    Raises:
        RecipeError: a run without stages, or too many for `orders`.
        EdgeCompressError: the whole line cannot run.
    """
    if not recipe.stages:
        raise RecipeError(f"{run}: a run must have stages to leave out. Received: none.")
    cache = StageCache(run / "ablation" / "cache")
    cache.borrow(run)
    laboratory = Laboratory(Space(recipe, {}, frozenset(), (), ()), cache, allow_code=allow_code)
    lines = lines_of(recipe, orders=orders)
    found: dict[Line, tuple[Outcome, Path]] = {}
    refused: dict[Line, str] = {}
    with progress.task("leaving stages out", total=len(lines)) as bar:
        for line in lines:
            bar.describe(f"{line.kind} {line.name}")
            try:
                outcome, result = laboratory.run_line(trial_recipe(vary_recipe(recipe, {}, line.stages)), Progress())
                found[line] = outcome, Path(result.file)
            except EdgeCompressError as error:
                if line.kind == "all":
                    raise
                refused[line] = " ".join(str(error).split())
            bar.advance()
    times = _times(recipe, found, progress)
    drops = _drops(recipe, laboratory, found, lines[0], progress)
    metric = recipe.task.metrics[0]
    measured = [
        Measured(line, reason=refused[line])
        if line in refused
        else Measured(line, found[line][0].bytes, found[line][0].macs, found[line][0].metrics[metric], *drops[line], times.get(line))
        for line in lines
    ]
    return Ablation(recipe.name, metric, recipe.task.rises(metric), measured)


def lines_of(recipe: Recipe, *, orders: bool) -> list[Line]:
    """The whole line first, then prefixes from none on, then one stage left out, then other orders.

    Raises:
        RecipeError: more stages than all orders of which can be tried.
    """
    names, everything = _names(recipe), tuple(range(len(recipe.stages)))
    lines = [Line("all", "all stages", everything)]
    lines += [Line("prefix", "no stage" if not end else f"+ {names[end - 1]}", everything[:end]) for end in everything]
    lines += [Line("without", names[left_out], tuple(i for i in everything if i != left_out)) for left_out in everything]
    if orders:
        if len(everything) > MOST_ORDERED:
            raise RecipeError(
                f"{recipe.name}: --orders must be left to runs of at most {MOST_ORDERED} stages. Received: {len(everything)}."
            )
        others = [order for order in permutations(everything) if order != everything]
        lines += [Line("order", ", ".join(names[i] for i in order), order) for order in others]
    return lines


def _names(recipe: Recipe) -> list[str]:
    """Each stage by its id, else by its place and technique."""
    return [stage.id or f"{index:02d} {stage.technique}" for index, stage in enumerate(recipe.stages, start=1)]


def _drops(
    recipe: Recipe, laboratory: Laboratory, found: Mapping[Line, tuple[Outcome, Path]], whole: Line, progress: Progress
) -> dict[Line, tuple[float, tuple[float, float] | None]]:
    """Loss against the whole line and its interval, on the same samples."""
    data = laboratory.data(recipe)
    reference = evaluate_tflite(found[whole][1], data.validation, recipe.task, progress=progress)
    drops = {}
    for line, (_, file) in found.items():
        own = evaluate_tflite(file, data.validation, recipe.task, progress=progress)
        judged = verdict(reference, own, recipe.task, seed=recipe.seed)
        interval = judged["confidence_interval"]
        drops[line] = float(judged["drop"]), None if interval is None else (float(interval[0]), float(interval[1]))
    return drops


def _times(recipe: Recipe, found: Mapping[Line, tuple[Outcome, Path]], progress: Progress) -> dict[Line, float | None]:
    """All files in turns on one thread, while nothing else of a search works here."""
    if recipe.benchmark is None:
        return {}
    files = {str(number): file.read_bytes() for number, (_, file) in enumerate(found.values())}
    with measuring(progress.say):
        entries = race_files(files, progress).values()
    return {line: entry.p50_ms for line, entry in zip(found, entries, strict=True)}
