"""What must hold between the parts of a recipe. What a technique asks for stands in `stages.TECHNIQUES`; here it is checked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from edgecompress.recipe.applications import preprocess_warnings
from edgecompress.recipe.distillation import LOSS_TASKS, Distillation
from edgecompress.recipe.nodes import KeyPath, Node
from edgecompress.recipe.problems import Problem, messages, recipe_error
from edgecompress.recipe.schema import ApplicationModel, Augment, BuilderModel, LatencyGoal, Recipe
from edgecompress.recipe.stages import TECHNIQUES, QuantizeAware
from edgecompress.recipe.stages.budget import Budget
from edgecompress.recipe.strategy_rules import strategy_problems
from edgecompress.recipe.suggestions import received

SAMPLES_BEYOND = 10  # a percentile is measured when so many of the runs lie beyond it
PERCENTILES = {"p50_ms": 0.5, "p95_ms": 0.95}


def check_recipe(recipe: Recipe, root: Node | None = None) -> list[str]:
    """Checks the rules that need no data and no model.

    Args:
        recipe: as loaded, or made in Python.
        root: the recipe as read, for file and line in messages; `load_recipe` has it.

    Returns:
        Warnings: what can be meant, but seldom is.

    Raises:
        RecipeError: every rule that is broken, one line each.
    """
    problems = [
        *_ids(recipe),
        *_order(recipe),
        *_trained_export(recipe),
        *_blocks(recipe),
        *_patterns(recipe),
        *_data(recipe),
        *_builders(recipe),
        *_class_weights(recipe),
        *_losses(recipe),
        *_unlabelled_apart(recipe),
        *strategy_problems(recipe),
        *_latency_budgets(recipe),
        *_goals(recipe),
    ]
    if problems:
        raise recipe_error(problems, root)
    return messages([*_untrained(recipe), *_preprocess(recipe), *_unlabelled(recipe), *_released(recipe)], root)


def _ids(recipe: Recipe) -> Iterator[Problem]:
    """An id names one stage."""
    first: dict[str, int] = {}
    for index, stage in enumerate(recipe.stages):
        if stage.id is not None and first.setdefault(stage.id, index) != index:
            yield Problem(("stages", index, "id"), f"id must be unique; stages.{first[stage.id]} has it too.{received(stage.id)}")


def _order(recipe: Recipe) -> Iterator[Problem]:
    """What may follow a technique, and which exports fit its model."""
    for index, stage in enumerate(recipe.stages):
        needs = TECHNIQUES[stage.technique]
        for later_index, later in enumerate(recipe.stages[index + 1 :], index + 1):
            if needs.followers is not None and later.technique not in needs.followers:
                expected = f"{' or '.join(needs.followers)} after {stage.technique} (stages.{index})"
                yield Problem(("stages", later_index), f"stage must be {expected}.{received(later.technique)}")
        if isinstance(stage, QuantizeAware):
            yield from _quantize_aware(recipe, index, stage)


def _quantize_aware(recipe: Recipe, index: int, stage: QuantizeAware) -> Iterator[Problem]:
    """What may follow a training with rounded weights, and which exports hold them."""
    place, export = f"after quantize_aware (stages.{index})", recipe.export
    if stage.last and recipe.stages[index + 1 :]:
        words = f"stage must be absent {place} of {stage.bits} bits, whose weights it would move off their grid."
        yield Problem(("stages", index + 1), f"{words}{received(recipe.stages[index + 1].technique)}")
    if export.format == "int8" and stage.bits != 8:
        if not any(stage.fits(weight_type) for weight_type in export.layers.values()):
            words = f"layers must give weights of {stage.bits} bits their type {place}, as {{pattern: {_fitting_type(stage)}}}."
            yield Problem(("export", "layers"), f"{words}{received(export.layers)}")
    elif export.format not in stage.formats:
        yield Problem(("export", "format"), f"format must be {' or '.join(stage.formats)} {place}.{received(export.format)}")
    if stage.bits == 8 and export.layers:
        yield Problem(("export", "layers"), f"layers must be absent {place} of 8 bits, which trained all of them.{received(export.layers)}")


def _fitting_type(stage: QuantizeAware) -> str:
    return "int4" if stage.bits == 4 else "int2"


def _trained_export(recipe: Recipe) -> Iterator[Problem]:
    """What quantize-aware training has settled."""
    if all(stage.technique != "quantize_aware" for stage in recipe.stages):
        return
    for name, needed in (("ranges", "min_max"), ("kernels", "per_channel")):
        if (value := getattr(recipe.export, name)) != needed:
            words = f"{name} must be {needed} after quantize_aware, whose training has settled it"
            yield Problem(("export", name), f"{words}.{received(value)}")


def _blocks(recipe: Recipe) -> Iterator[Problem]:
    """Stages that reckon with one scale per output channel, where scales of blocks would round otherwise."""
    if recipe.export.block is None:
        return
    grid = "whose weights lie on a grid per output channel"
    reasons = {"quantize_aware": grid, "round_weights": grid, "correct_bias": "which corrects what a scale per output channel does"}
    for index, stage in enumerate(recipe.stages):
        if stage.technique in reasons:
            words = f"block must be absent after {stage.technique} (stages.{index}), {reasons[stage.technique]}"
            yield Problem(("export", "block"), f"{words}.{received(recipe.export.block)}")


def _patterns(recipe: Recipe) -> Iterator[Problem]:
    """Regular expressions of layer patterns must be valid; whether they match is known when there is a model."""
    yield from _patterns_in(recipe.model_dump(include={"stages", "model", "export"}), ())
    for pattern in recipe.export.layers:
        yield from _expression(pattern, ("export", "layers", pattern))


def _patterns_in(value: Any, path: KeyPath) -> Iterator[Problem]:
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _patterns_in(child, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _patterns_in(child, (*path, index))
    elif isinstance(value, str) and isinstance(path[-1], int):
        yield from _expression(value, path)


def _expression(pattern: str, path: KeyPath) -> Iterator[Problem]:
    """A pattern that is a regular expression, and no valid one."""
    if not pattern.startswith("re:"):
        return
    try:
        re.compile(pattern.removeprefix("re:"))
    except (re.error, OverflowError, RecursionError) as error:
        yield Problem(path, f"pattern must be a valid regular expression after re: ({error}).{received(pattern)}")


def _data(recipe: Recipe) -> Iterator[Problem]:
    """What the samples are must fit the task and the model."""
    data, task = recipe.data, recipe.task
    if data.normal and task.target != "input":
        yield Problem(("data", "normal"), f"normal must be absent for target label: it is for detecting anomalies.{received(data.normal)}")
    if task.kind == "autoencoder" and "auc" in task.metrics and not data.normal:
        expected = "data.normal must name the classes that are no anomalies, for the metric auc with target input"
        yield Problem(("task", "metrics"), f"{expected}. Received: none.")
    if data.inputs and task.target == "input":
        yield Problem(("data", "inputs"), f"inputs must be absent for target input: an autoencoder has one.{received(list(data.inputs))}")
    if data.inputs and isinstance(recipe.model, BuilderModel | ApplicationModel):
        words = f"inputs must be absent for a model of source {recipe.model.source}, which has one"
        yield Problem(("data", "inputs"), f"{words}.{received(list(data.inputs))}")
    if data.inputs and data.augment != Augment():
        yield Problem(("data", "augment"), "augment must be absent for a model of several inputs. Received: changes of images.")


def _builders(recipe: Recipe) -> Iterator[Problem]:
    """Which builders give their input back: the autoencoder alone, and for features of one axis the mlp."""
    models: list[tuple[KeyPath, Any]] = [(("model",), recipe.model)]
    for index, stage in enumerate(recipe.stages):
        models.append((("stages", index, "student"), getattr(stage, "student", None)))
        for path, distillation in _distillations(stage):
            models += [(("stages", index, *path, "teacher"), teacher) for teacher in distillation.teacher]
    for path, model in models:
        if not isinstance(model, BuilderModel):
            continue
        if recipe.task.target == "label" and model.name == "autoencoder":
            cure = "task: {loss: mean_squared_error, metrics: [mean_squared_error], target: input}"
            yield Problem((*path, "name"), f"name must be a builder that ends in labels; autoencoder needs {cure}.{received(model.name)}")
        if recipe.task.target == "input" and model.name not in ("autoencoder", "mlp"):
            words = "autoencoder, or mlp for features of one axis, for target input: its input is what it must give back"
            yield Problem((*path, "name"), f"name must be {words}.{received(model.name)}")


def _class_weights(recipe: Recipe) -> Iterator[Problem]:
    """Only one class per sample can be weighted."""
    if recipe.task.kind == "classification":
        return
    places: list[tuple[KeyPath, Any]] = [
        (("model",), recipe.model),
        *((("stages", index), stage) for index, stage in enumerate(recipe.stages)),
    ]
    for path, section in places:
        train = getattr(section, "train", None)
        if train is not None and train.class_weights is not None:
            yield Problem(path, f"class_weights must be absent for a {recipe.task.kind} task.{received(train.class_weights)}")


def _losses(recipe: Recipe) -> Iterator[Problem]:
    """Losses between student and teacher that the task has no labels for."""
    kind = recipe.task.kind
    for index, stage in enumerate(recipe.stages):
        for path, distillation in _distillations(stage):
            for loss in distillation.losses.chosen:
                kinds = LOSS_TASKS.get(loss.name)
                if kinds is not None and kind not in kinds:
                    words = f"{loss.name} must be left to a task of {' or '.join(kinds)}. Received: a {kind} task."
                    yield Problem(("stages", index, *path, "losses", loss.name), words)


def _unlabelled_apart(recipe: Recipe) -> Iterator[Problem]:
    """What is tested on must not be learned from, with or without labels."""
    data, others = recipe.data, recipe.data.unlabelled
    if others is not None and (others.source, others.path) == (data.source, data.path):
        words = "unlabelled must be other data: validation is in these, maybe test. source: rest takes what `limit` leaves out."
        yield Problem(("data", "unlabelled"), words + received(others.source))


def _distillations(stage: Any) -> Iterator[tuple[KeyPath, Distillation]]:
    """Where a stage learns from teachers: it is one, or its training does."""
    if isinstance(stage, Distillation):
        yield (), stage
    path, training = (("train",), stage.train) if "train" in type(stage).model_fields else ((), stage)
    if (distillation := getattr(training, "distill", None)) is not None:
        yield (*path, "distill"), distillation


def _latency_budgets(recipe: Recipe) -> Iterator[Problem]:
    """A budget of time needs a recipe that measures or predicts it."""
    for index, stage in enumerate(recipe.stages):
        if isinstance(stage, Budget) and stage.latency_ms is not None and recipe.benchmark is None and not recipe.target.latency_table:
            words = "latency_ms must be measured by a benchmark, or predicted from target.latency_table. Received: benchmark null."
            yield Problem(("stages", index, "latency_ms"), words)


def _goals(recipe: Recipe) -> Iterator[Problem]:
    """A goal on time or memory needs a benchmark that measures it."""
    benchmark = recipe.benchmark
    for name in ("p50_ms", "p95_ms", "peak_rss_kb"):
        goal = getattr(recipe.goal, name)
        if goal is None:
            continue
        if benchmark is None:
            yield Problem(("goal", name), f"{name} must be measured by a benchmark. Received: benchmark null.")
        elif isinstance(goal, LatencyGoal):
            least = round(SAMPLES_BEYOND / (1 - PERCENTILES[name]))
            if benchmark.runs < least:
                yield Problem(("goal", name), f"benchmark.runs must be at least {least} to measure {name}.{received(benchmark.runs)}")
            if goal.threads not in benchmark.threads:
                expected = f"one of benchmark.threads {benchmark.threads}"
                yield Problem(("goal", name, "threads"), f"threads must be {expected}.{received(goal.threads)}")
            if goal.host not in benchmark.hosts:
                yield Problem(("goal", name, "host"), f"host must be one of benchmark.hosts {benchmark.hosts}.{received(goal.host)}")


def _untrained(recipe: Recipe) -> Iterator[Problem]:
    """Random weights that nothing trains: fine for a benchmark, for nothing else."""
    model = recipe.model
    trains = model.train is not None or any(getattr(stage, "train", None) is not None for stage in recipe.stages)
    if _is_random(model) and not trains:
        yield Problem(("model",), "nothing in this recipe trains the model, so its weights are random; latency is right, metrics are not.")
    for index, stage in enumerate(recipe.stages):
        for path, distillation in _distillations(stage):
            if any(_is_random(teacher) and getattr(teacher, "train", None) is None for teacher in distillation.teacher):
                words = "a teacher without `train` has random weights; it can teach nothing."
                yield Problem(("stages", index, *path, "teacher"), words)


def _is_random(model: Any) -> bool:
    """Whether a model has no weights from anywhere."""
    return isinstance(model, BuilderModel) or (isinstance(model, ApplicationModel) and model.weights is None)


def _preprocess(recipe: Recipe) -> Iterator[Problem]:
    """Inputs that a published network was not made for: it learns little from them, and says nothing."""
    if isinstance(recipe.model, ApplicationModel):
        for sentence in preprocess_warnings(recipe.model.name, recipe.model.weights, recipe.data.preprocess):
            yield Problem(("data", "preprocess"), sentence)


def _unlabelled(recipe: Recipe) -> Iterator[Problem]:
    """Samples without labels teach nobody where there is no teacher."""
    if recipe.data.unlabelled is not None and not any(True for stage in recipe.stages for _ in _distillations(stage)):
        yield Problem(("data", "unlabelled"), "no stage of this recipe learns from a teacher, so samples without labels are not used.")


def _released(recipe: Recipe) -> Iterator[Problem]:
    """A stage that undoes in part what one before it did."""
    for index, stage in enumerate(recipe.stages):
        for before in {earlier.technique for earlier in recipe.stages[:index]} & set(TECHNIQUES[stage.technique].releases):
            words = f"{stage.technique} after {before} releases what {before} had fixed in the layers that both change."
            yield Problem(("stages", index), words)
