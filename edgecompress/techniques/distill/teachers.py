"""The teachers of a recipe: the baseline, model files, and builders that are trained first."""

from dataclasses import dataclass, replace
from functools import partial

from edgecompress.backend import keras
from edgecompress.recipe.distillation import Distillation
from edgecompress.recipe.training import Training
from edgecompress.stage import Context, Outlook
from edgecompress.techniques.baseline import brought, check_outputs
from edgecompress.techniques.distill.parts import Trained, part_of, train_once
from edgecompress.training import fit


@dataclass(frozen=True)
class Teacher:
    """A model that teaches, and what people call it."""

    name: str
    model: keras.Model


def untrained_teachers(distillation: Distillation, outlook: Outlook, *, seed: int = 0) -> list[Teacher]:
    """The teachers; those that are to be trained are not.

    Raises:
        ModelError: a file is no model, or a model's outputs do not fit the task.
    """
    teachers = []
    for number, config in enumerate(distillation.teacher):
        if config.source == "baseline":
            teachers.append(Teacher("baseline", outlook.baseline))
            continue
        name, made = brought(config, outlook.task, outlook.data, seed + number, outlook.allow_code)
        check_outputs(made.model, f"teacher {name}", outlook.task)
        teachers.append(Teacher(name, made.model))
    return teachers


def make_teachers(distillation: Distillation, context: Context) -> list[Teacher]:
    """The teachers, ready to teach.

    Raises:
        ModelError: as `untrained_teachers`.
        TrainingError: the training of a teacher diverged.
    """
    teachers = untrained_teachers(distillation, context.outlook, seed=context.seed)
    for number, config in enumerate(distillation.teacher):
        if config.source != "baseline" and config.train is not None:
            part = part_of(context, "teacher", number)
            model, _ = train_once(part, partial(_train, teachers[number].model, config.train, part))
            teachers[number] = replace(teachers[number], model=model)
    return teachers


def warn_of_worse(teachers: list[Teacher], student: keras.Model, context: Context, which: str) -> None:
    """Warns of each teacher that is worse on the validation split than the student; `which` says when the student was looked at."""
    metric = context.task.metrics[0]
    ours = context.evaluate(student)[metric]
    for teacher in teachers:
        theirs = context.evaluate(at_size_of(student, teacher.model))[metric]
        if theirs < ours if context.task.rises(metric) else theirs > ours:
            context.warn(
                f"{context.stage}: the teacher {teacher.name} is worse than the student {which}: "
                f"validation {metric} {theirs:.4f} against {ours:.4f}."
            )


def at_size_of(student: keras.Model, teacher: keras.Model) -> keras.Model:
    """The teacher, for samples of the student's height and width."""
    shape, wanted = (model.inputs[0].shape[1:] for model in (student, teacher))
    if shape == wanted:
        return teacher
    inputs = keras.Input(shape)
    return keras.Model(inputs, teacher(keras.layers.Resizing(*wanted[:2])(inputs)), name=teacher.name)


def _train(model: keras.Model, training: Training, part: Context) -> Trained:
    return model, fit(model, training, part)
