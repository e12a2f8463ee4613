"""The student of a recipe: a model of its own, the teacher's graph with other widths, or the model as it stands."""

from edgecompress.backend import keras
from edgecompress.models.copying import copy_model
from edgecompress.models.scaling import scale_widths
from edgecompress.recipe.stages import Distill
from edgecompress.stage import Outlook
from edgecompress.techniques.baseline import check_fits, make_model


def make_student(model: keras.Model, config: Distill, teacher: keras.Model, outlook: Outlook, *, seed: int) -> keras.Model:
    """The student before it learns.

    Args:
        model: that the stage was given; not changed.
        config: of the stage.
        teacher: the first one, whose graph a scaled student has.
        outlook: data and task that the student must fit.
        seed: of initial weights.

    Raises:
        ModelError: a file is no model, widths that cannot be scaled, or a student that does not fit the data.
    """
    if config.student is None:
        return copy_model(model)
    if config.student.source == "scale":
        student = scale_widths(teacher, config.student.scale, seed=seed)
        check_fits(student, "student, a scaled teacher", outlook.task, outlook.data)
        return student
    return make_model(config.student, outlook.task, outlook.data, seed=seed, allow_code=outlook.allow_code)
