"""What a training with teachers trains, and on what: with the teachers' outputs stored, where samples do not change."""

import io
from collections.abc import Sequence
from math import prod

import numpy as np

from edgecompress.backend import keras, tf
from edgecompress.data import Split
from edgecompress.recipe.distillation import RESPONSE, Distillation
from edgecompress.recipe.schema import Task
from edgecompress.samples import each
from edgecompress.stage import Context, Lesson
from edgecompress.store import WORK_FOLDER, storage_errors, write_atomic
from edgecompress.techniques.distill.distiller import Distiller
from edgecompress.techniques.distill.taught import unpack
from edgecompress.techniques.distill.teachers import Teacher, make_teachers, warn_of_worse

MAX_STORED_BYTES = 1_000_000_000  # of the teachers' outputs; beyond, the teachers run in every step
FLOAT32_BYTES = 4


def teach(student: keras.Model, distillation: Distillation, context: Context) -> Lesson:
    """The lesson of a `train.distill` block: the student is the model that the stage trains anyway.

    Raises:
        ModelError: a teacher cannot be loaded or does not fit the student.
        RecipeError: `pairs` that match no layers.
    """
    teachers = make_teachers(distillation, context)
    warn_of_worse(teachers, student, context, "before it learns")
    return make_lesson(student, teachers, distillation, context)


def make_lesson(student: keras.Model, teachers: Sequence[Teacher], distillation: Distillation, context: Context) -> Lesson:
    """The lesson of these teachers for this student."""
    samples = samples_of(context)
    distiller = make_distiller(student, teachers, distillation, context.task, seed=context.seed)
    num_bytes = FLOAT32_BYTES * len(samples) * prod(student.output_shape[1:])
    if not context.data.augments and num_bytes <= MAX_STORED_BYTES and all(term.name in RESPONSE for term in distiller.terms):
        samples = samples.beside(teacher=_stored_outputs(distiller, samples, context))
    keras.utils.set_random_seed(context.seed)  # whatever making the teachers, or not making them again, has drawn
    return Lesson(distiller, samples)


def samples_of(context: Context) -> Split:
    """What a student learns on: the training samples, and those without labels."""
    data = context.data
    return data.train if data.unlabelled is None else data.train.with_unlabelled(data.unlabelled)


def make_distiller(
    student: keras.Model, teachers: Sequence[Teacher], distillation: Distillation, task: Task, *, seed: int = 0
) -> Distiller:
    """The distiller that a recipe describes."""
    return Distiller(
        student, [teacher.model for teacher in teachers], distillation.losses_for(task.kind),
        labels=distillation.label_weight(task.kind), task=task, combine=distillation.combine, resize=distillation.resize, seed=seed,
    )  # fmt: skip


def _stored_outputs(distiller: Distiller, samples: Split, context: Context) -> np.ndarray:
    """What the teachers say to each of the samples, float32 [n, ...], from the stage's folder or computed now."""
    path = context.folder / WORK_FOLDER / "teacher_outputs.npy"
    if path.exists():
        return np.asarray(np.load(path, allow_pickle=False))
    with context.progress.task(f"{context.stage}: teacher", len(samples)) as bar:
        spec = each(lambda shape: tf.TensorSpec([None, *shape], tf.float32), samples.sample_shape)
        ask = tf.function(lambda inputs: distiller.ask(inputs)[0], input_signature=[spec])
        parts = []
        for batch in samples.dataset(context.data.batch_size):
            parts.append(ask(unpack(batch).inputs).numpy())
            bar.advance(len(parts[-1]))
    outputs, content = np.concatenate(parts), io.BytesIO()
    np.save(content, outputs)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content.getbuffer())
    return outputs
