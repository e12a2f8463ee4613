"""`distill`: a student learns from teachers, and goes on alone."""

from collections.abc import Sequence
from functools import partial

from edgecompress.backend import keras
from edgecompress.keeps import Keep
from edgecompress.recipe.distillation import LOSS_TASKS, Distillation, Loss
from edgecompress.recipe.stages import Distill
from edgecompress.stage import Context, LayerRecord, Lesson, Outlook, StageResult
from edgecompress.techniques.distill.lesson import make_distiller, make_lesson, samples_of
from edgecompress.techniques.distill.mutual import DEFAULT_LOSSES, MutualLearning
from edgecompress.techniques.distill.parts import Trained, part_of, train_once
from edgecompress.techniques.distill.records import lesson_records, student_record
from edgecompress.techniques.distill.students import make_student
from edgecompress.techniques.distill.teachers import Teacher, make_teachers, untrained_teachers, warn_of_worse
from edgecompress.training import fit

UNTRAINED = ("builder", "scale")  # students that know nothing before they learn


def apply(model: keras.Model, config: Distill, context: Context) -> StageResult:
    """Trains a student. It takes the place of `model`, and keeps of that hold only where the student is a copy of it."""
    keeps = context.keeps if config.student is None else ()
    released = tuple(f"{keep.layer}: {keep.describe()}, the student is another model" for keep in context.keeps if keep not in keeps)
    _, records = plan(model, config, context.outlook)
    student, epochs = _learn_mutually(model, config, context) if config.mutual else _learn(model, config, context, keeps)
    return StageResult(student, records, keeps, released, epochs)


def plan(model: keras.Model, config: Distill, outlook: Outlook) -> tuple[keras.Model, list[LayerRecord]]:
    """The student before it learns, who teaches it, and the paired layers.

    Raises:
        ModelError: a teacher or student cannot be made, or they do not fit each other.
        RecipeError: `pairs` that match no layers.
    """
    teachers = untrained_teachers(config, outlook)
    student = make_student(model, config, teachers[0].model, outlook, seed=0)
    how = "the model as it is" if config.student is None else f"new, {config.student.source}"
    if config.mutual:
        return student, [student_record(student, f"{how}, one of {config.mutual} that teach each other")]
    records = lesson_records(teachers, student, make_distiller(student, teachers, config, outlook.task).terms)
    if config.generations > 1:
        make_distiller(student, [Teacher("generation 1", student)], config, outlook.task)  # its layers must be found as a teacher's too
        how += f", generation {config.generations}"
    return student, [student_record(student, how), *records]


def plan_lesson(model: keras.Model, distillation: Distillation, outlook: Outlook) -> list[LayerRecord]:
    """Who teaches `model` in a stage with `train.distill`, and the paired layers.

    Raises:
        ModelError: a teacher cannot be made or does not fit.
        RecipeError: `pairs` that match no layers.
    """
    teachers = untrained_teachers(distillation, outlook)
    return lesson_records(teachers, model, make_distiller(model, teachers, distillation, outlook.task).terms)


def _learn(model: keras.Model, config: Distill, context: Context, keeps: Sequence[Keep]) -> Trained:
    """Generation after generation; the epochs of all."""
    teachers, epochs = make_teachers(config, context), []
    graph = teachers[0].model
    knows = config.student is None or config.student.source not in UNTRAINED
    if knows:
        warn_of_worse(teachers, make_student(model, config, graph, context.outlook, seed=0), context, "before it learns")
    for generation in range(config.generations - 1):
        part = part_of(context, "generation", generation)
        student, own_epochs = train_once(part, partial(_generation, model, config, graph, teachers, keeps, part))
        epochs += own_epochs
        teachers = [Teacher(f"generation {generation + 1}", student)]
    student, own_epochs = _generation(model, config, graph, teachers, keeps, context)
    if not knows:  # before it learned there was nothing to compare with
        warn_of_worse(teachers, student, context, "that it taught")
    return student, epochs + own_epochs


def _generation(
    model: keras.Model, config: Distill, graph: keras.Model, teachers: Sequence[Teacher], keeps: Sequence[Keep], context: Context
) -> Trained:
    """One student, from its start to the end of its training."""
    student = make_student(model, config, graph, context.outlook, seed=context.seed)
    lesson = make_lesson(student, teachers, config, context)
    return student, fit(student, config.train, context, keeps=keeps, lesson=lesson)


def mutual_losses(config: Distill, kind: str) -> Sequence[Loss]:
    """What students that teach each other lose; where the recipe names nothing, the KL of the paper, of values their difference."""
    return DEFAULT_LOSSES if not config.losses.chosen and kind in LOSS_TASKS["kd"] else config.losses_for(kind)


def _learn_mutually(model: keras.Model, config: Distill, context: Context) -> Trained:
    """Students that teach each other; the best of them on validation."""
    graph, kind = untrained_teachers(config, context.outlook)[0].model, context.task.kind
    seeds = [part_of(context, "student", number).seed for number in range(config.mutual or 0)]
    students = [make_student(model, config, graph, context.outlook, seed=seed) for seed in seeds]
    losses = mutual_losses(config, kind)
    labels = 1.0 if config.labels is None else config.labels
    lesson = Lesson(MutualLearning(students, losses, labels=labels, task=context.task), samples_of(context))
    epochs = fit(students[0], config.train, context, lesson=lesson)
    metric = context.task.metrics[0]
    sign = 1 if context.task.rises(metric) else -1
    return max(students, key=lambda student: sign * context.evaluate(student)[metric]), epochs
