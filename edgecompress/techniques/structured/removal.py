"""The course of `prune_channels` and `prune_neurons`: score, choose, cut, mend, as often as the recipe says."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import Any

import numpy as np

from edgecompress.backend import keras
from edgecompress.errors import ModelError
from edgecompress.graph.channels import ChannelGraph, carry_out, channel_graph, plan_cut
from edgecompress.keeps import Keep, sliced
from edgecompress.models.copying import copy_model
from edgecompress.recipe.stages.config import Train
from edgecompress.recipe.stages.prune_channels import Removal
from edgecompress.sensitivity import Sensitivity, losses_by_name
from edgecompress.stage import Context, LayerRecord, StageResult
from edgecompress.techniques.remembered import remembered
from edgecompress.techniques.structured.budget import MEASURED, Limit, Measure, choose, limit_of, measure_of, unreachable
from edgecompress.techniques.structured.curves import measure_channels, scores_of_losses
from edgecompress.techniques.structured.field import Belongs, Field, channel_records, choose_field, multiple_of
from edgecompress.techniques.structured.ranking import Choice, Contender, Ranking
from edgecompress.techniques.structured.reestimate import reestimate_batch_norm
from edgecompress.techniques.structured.scores import WITHOUT_SAMPLES, score_channels
from edgecompress.techniques.structured.sparse import batch_norm_scales, train_sparse
from edgecompress.training import fit

HARDWARE_MULTIPLE = 8  # channels that kernels of CPUs work on at a time
NOISE = 1.02  # two measurements of one file may differ by so much
TRAINING_FOLDER = "training_"
WITHIN_BUDGET = "the model is within the budget as it is"
WORTH_MORE = "all of its channels are worth more than those that go"


@dataclass(frozen=True)
class Course:
    """What is the same for all cuts of a stage.

    Attributes:
        limit: what may be left in the end.
        context: None while planning: then there are no samples, and nothing is measured.
        sensitivity: of the groups before the first cut, where it spreads the budget.
    """

    config: Removal
    field: Field
    limit: Limit
    context: Context | None
    sensitivity: Sensitivity | None = None

    def choice(self, model: keras.Model, graph: ChannelGraph, share: float, round_to: int, *, must_reach: bool) -> Choice:
        """The channels of `model` to cut so that this share of the way to the limit is gone.

        Args:
            must_reach: False: as near as can be.

        Raises:
            ModelError: the limit cannot be met.
        """
        ranking = self._ranking(model, graph, round_to)
        measure, count = (self._measure(kind, model, graph) for kind in (self.limit.kind, "parameters"))
        choice = choose(ranking, self.limit.kind, self.limit.at(share), measure, count)
        if choice is None and must_reach:
            raise ModelError(unreachable(self.limit, measure(ranking.longest), self.config))
        return ranking.longest if choice is None else choice

    def keeps_limit(self, model: keras.Model, graph: ChannelGraph, choice: Choice) -> bool:
        """Whether no more than the limit is left of `model` after a choice."""
        return self._measure(self.limit.kind, model, graph)(choice) <= self.limit.target

    def _ranking(self, model: keras.Model, graph: ChannelGraph, round_to: int) -> Ranking:
        """The groups of the field, scored; what the criterion cannot score stays."""
        criterion = self.config.criterion
        if self.context is None and criterion not in WITHOUT_SAMPLES:
            criterion = "l1"  # a plan has no samples; before a training, no criterion knows more
        contenders, losses = [], {} if self.sensitivity is None else losses_by_name(self.sensitivity)
        for group, scores in zip(graph.groups, score_channels(criterion, model, graph, self.context), strict=True):
            if group.name in self.field.sizes:
                least = ceil(self.config.floor * self.field.sizes[group.name])
                stays = group.frozen | np.isnan(scores)
                if group.name in losses:
                    scores = scores_of_losses(scores, stays, *losses[group.name], self.field.sizes[group.name])
                contenders.append(Contender(group.name, scores, stays, multiple_of(group, round_to), least))
        if all(contender.frozen.all() for contender in contenders):
            raise ModelError(f"criterion {criterion} must have something to look at in a layer that is cut. Received: layers without.")
        return Ranking(contenders, self.config.scope)

    def _measure(self, kind: str, model: keras.Model, graph: ChannelGraph) -> Measure:
        return measure_of(kind, model, graph, self.field.num_free(graph), None if self.context is None else self.context.rehearsal)


def remove(model: keras.Model, config: Removal, context: Context, belongs: Belongs) -> StageResult:
    """Removes channels of a copy of `model` until the budget is met, and trains it where the recipe says so.

    Raises:
        RecipeError: a pattern that matches nothing, or `round_to` larger than a layer.
        ModelError: nothing can be cut, or the budget cannot be reached.
    """
    graph = channel_graph(model)
    field = choose_field(model, graph, config, belongs)
    decisions = _within(context, "decisions")
    measure = measure_of(config.kind, model, graph, field.num_free(graph), context.rehearsal)
    limit = limit_of(config, remembered(decisions, "before", lambda: float(measure({}))))
    if limit.before <= limit.target:
        _forget_trainings(context)
        records = channel_records(model, field.sizes, graph, WITHIN_BUDGET)
        return StageResult(copy_model(model), field.left_alone + records, context.keeps)
    smaller, keeps, rows, notes = model, context.keeps, list[dict[str, float]](), list[str]()
    if config.sparse is not None:
        surroundings = _within(context, "sparse")
        if _teachers(config.sparse.train) == _teachers(config.train):
            surroundings = replace(surroundings, parts=context.parts_folder)
        smaller, rows = train_sparse(model, graph, field.sizes, config.sparse, surroundings, keeps)
    curves = _sensitivity(smaller, config, field, context)
    course = Course(config, field, limit, context, curves)
    for step in range(1, config.steps + 1):
        choice, notes = remembered(decisions, f"step {step}", partial(_decided, model, smaller, graph, step, course))
        smaller, keeps = _cut(smaller, graph, choice, keeps)
        graph = channel_graph(smaller)
        if config.reestimate:
            reestimate_batch_norm(smaller, context.data.calibration, batch_size=context.data.batch_size)
        if config.train is not None:
            surroundings = replace(_within(context, f"step_{step}"), parts=context.parts_folder)  # teachers are the same in all steps
            rows += fit(smaller, config.train, surroundings, keeps=keeps)
    _forget_trainings(context)
    records = channel_records(model, field.sizes, graph, WORTH_MORE)
    return StageResult(smaller, field.left_alone + records, keeps, training=_numbered(rows), notes=tuple(notes), sensitivity=curves)


def _decided(given: keras.Model, model: keras.Model, graph: ChannelGraph, step: int, course: Course) -> tuple[Choice, tuple[str, ...]]:
    """The channels of `model` that go in a step, in plain numbers, and what the reader of the report should know.

    Raises:
        ModelError: the limit cannot be met.
    """
    num_steps, notes = course.config.steps, tuple[str, ...]()
    choice = course.choice(model, graph, step / num_steps, course.config.round_to, must_reach=step == num_steps)
    if step == num_steps:
        choice, notes = _not_slower(given, model, graph, choice, course)
    return {name: [int(channel) for channel in channels] for name, channels in choice.items()}, notes


def _sensitivity(model: keras.Model, config: Removal, field: Field, context: Context) -> Sensitivity | None:
    """The curves of the groups to work on; None where they do not decide."""
    if config.ratios != "sensitivity":
        return None
    return measure_channels(model, channel_graph(model), list(field.sizes), config.criterion, context, reestimate=config.reestimate)


def plan_removal(model: keras.Model, config: Removal, belongs: Belongs) -> tuple[keras.Model, list[LayerRecord]]:
    """The model cut at once. Of a measured budget nothing is known yet: the model stays as it is.

    Raises:
        RecipeError: a pattern that matches nothing, or `round_to` larger than a layer.
        ModelError: nothing can be cut, the budget cannot be reached, or the penalty of `sparse` finds nothing.
    """
    graph = channel_graph(model)
    field = choose_field(model, graph, config, belongs)
    if config.sparse is not None and config.sparse.penalty == "batch_norm":
        batch_norm_scales(group for group in graph.groups if group.name in field.sizes)
    if config.kind in MEASURED:
        words = f"channels go until {config.kind} {config.amount:g} is met, which a run measures"
        changed = [replace(record, action="changed") for record in channel_records(model, field.sizes, graph, words)]
        return model, field.left_alone + changed
    limit = limit_of(config, measure_of(config.kind, model, graph, field.num_free(graph), None)({}))
    if limit.before <= limit.target:
        return model, field.left_alone + channel_records(model, field.sizes, graph, WITHIN_BUDGET)
    choice = Course(config, field, limit, None).choice(model, graph, 1, config.round_to, must_reach=True)
    smaller, _ = _cut(model, graph, choice, ())
    return smaller, field.left_alone + channel_records(model, field.sizes, channel_graph(smaller), WORTH_MORE)


def _cut(model: keras.Model, graph: ChannelGraph, choice: Choice, keeps: Sequence[Keep]) -> tuple[keras.Model, tuple[Keep, ...]]:
    planned = plan_cut(graph, choice)
    return carry_out(planned, model), tuple(sliced(keep, planned) for keep in keeps)


def _not_slower(
    given: keras.Model, model: keras.Model, graph: ChannelGraph, choice: Choice, course: Course
) -> tuple[Choice, tuple[str, ...]]:
    """The last choice, rounded where the file of the cut model is slower than that of the model that the stage was given, and this helps.

    Returns:
        The choice, and what its reader should know.
    """
    rehearsal = None if course.context is None else course.context.rehearsal
    if rehearsal is None or not rehearsal.knows_times:
        return choice, ()

    def slower(before: float, after: float) -> str:
        return f"the cut model {rehearsal.verb} slower than the one before: p50 {after:.4g} ms against {before:.4g} ms{rehearsal.where}"

    cut = _cut(model, graph, choice, ())[0]
    before, after = rehearsal.race(given, cut)
    if after <= NOISE * before:
        return choice, ()
    words = slower(before, after)
    if course.config.round_to >= HARDWARE_MULTIPLE:
        return choice, (f"{words}.",)
    rounded = course.choice(model, graph, 1, HARDWARE_MULTIPLE, must_reach=False)
    if rounded == choice:
        return choice, (f"{words}. Rounding its channels to multiples of {HARDWARE_MULTIPLE} would change nothing.",)
    if not course.keeps_limit(model, graph, rounded):
        return choice, (f"{words}. With its channels rounded to multiples of {HARDWARE_MULTIPLE} it would miss the budget.",)
    before, after, of_rounded = rehearsal.race(given, cut, _cut(model, graph, rounded, ())[0])  # times of two races do not compare
    if after <= NOISE * before:
        return choice, ()
    words = slower(before, after)
    if of_rounded * NOISE >= after:
        return choice, (f"{words}. Rounding its channels to multiples of {HARDWARE_MULTIPLE} would give {of_rounded:.4g} ms.",)
    return rounded, (f"{words}. Its channels were rounded to multiples of {HARDWARE_MULTIPLE}, which gave {of_rounded:.4g} ms.",)


def _teachers(train: Train | None) -> list[Any]:
    """Who teaches in a training."""
    return [] if train is None or train.distill is None else list(train.distill.teacher)


def _within(context: Context, name: str) -> Context:
    """The same surroundings with a folder of its own for one of several trainings."""
    folder = context.folder / f"{TRAINING_FOLDER}{name}"
    folder.mkdir(exist_ok=True)
    return replace(context, folder=folder, logs=context.curves / name)


def _forget_trainings(context: Context) -> None:
    """Only a killed stage goes on from what its trainings left."""
    for folder in context.folder.glob(f"{TRAINING_FOLDER}*"):
        shutil.rmtree(folder)


def _numbered(rows: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    """The epochs of several trainings, counted through."""
    return [row | {"epoch": number} for number, row in enumerate(rows, start=1)]
