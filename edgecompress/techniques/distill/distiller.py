"""The training step with a teacher, as a Keras model that is compiled and fitted like any other."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgecompress.backend import keras, tf
from edgecompress.errors import ModelError
from edgecompress.recipe.distillation import Distillation, Loss, label_weight
from edgecompress.recipe.schema import Task
from edgecompress.techniques.distill.outputs import as_logits, combine_logits
from edgecompress.techniques.distill.pairs import layer_output
from edgecompress.techniques.distill.taught import Taught, classes, unpack
from edgecompress.techniques.distill.terms import Sight, make_terms

View = Callable[[Any, bool], tuple[tf.Tensor, dict[str, tf.Tensor]]]  # (inputs, training) to (output, features by layer name)


class Distiller(Taught):
    """A student that learns from a teacher while it trains.

        distiller = ec.Distiller(student, teacher, losses=[ec.KD(temperature=4.0), ec.Hints(weight=0.1)])
        distiller.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"])
        distiller.fit(x, y, epochs=5)
        distiller.student

    The loss is `labels` times the compiled loss, plus each weight times its loss, plus what regularizes the student. Logs hold
    each addend, as loss_labels, loss_kd, ...; validation has the compiled loss alone. In training, inputs may be pairs (inputs,
    values of the samples by name). teacher: logits as `ask` gives them, so that no teacher runs; losses between layers are not
    possible then. labelled: which samples have a label.

    Args:
        student: functional or sequential model; it is trained in place.
        teacher: one model, or several whose outputs are averaged. They are not changed, not saved and not counted.
        losses: settings such as `ec.KD()`; None: kd, for values mse.
        labels: factor of the compiled loss; None: 1 less the weight of KD, at least 0.
        task: the `task:` block of a recipe; None: classification with logits.
        combine: of several teachers, "probabilities" or "logits".
        resize: resize inputs to the teacher's height and width.
        seed: of the adaptors' initial weights.

    Raises:
        ModelError: student and teacher differ in inputs or outputs, or paired layers cannot be compared.
        RecipeError: `pairs` that match no layers.
    """

    def __init__(
        self, student: keras.Model, teacher: keras.Model | Sequence[keras.Model], losses: Sequence[Loss] | None = None, *,
        labels: float | None = None, task: Task | Mapping[str, Any] | None = None, combine: str = "probabilities",
        resize: bool = False, seed: int = 0,
    ) -> None:  # fmt: skip
        teachers = list(teacher) if isinstance(teacher, Sequence) else [teacher]
        for one in teachers:
            check_alike(student, one, resize=resize)
        task = task if isinstance(task, Task) else Task(**(task or {}))
        losses = Distillation().losses_for(task.kind) if losses is None else losses
        terms = make_terms(losses, task.kind, teachers[0], student, seed)
        weight = label_weight(losses) if labels is None else labels
        super().__init__(student, [*(["labels"] if weight else []), *(term.name for term in terms)])
        self.terms = terms
        self._task, self._combine, self._label_weight = task, combine, weight
        self._adaptors = [adaptor for term in terms for adaptor in term.adaptors if adaptor is not None]
        # As functions, since Keras takes a model in an attribute for a part of this one.
        self._see_student = _viewer(student, [pair.student for term in terms for pair in term.pairs])
        self._see_teachers = [
            _viewer(one, [pair.teacher for term in terms for pair in term.pairs] if one is teachers[0] else []) for one in teachers
        ]

    def ask(self, inputs: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """What the teachers say as one, logits [b, ...], and features of the first by layer name."""
        views = [see(inputs, False) for see in self._see_teachers]
        logits = [as_logits(output, self._task) for output, _ in views]
        return combine_logits(logits, self._task.kind, self._combine), views[0][1]

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One update of student and adaptors."""
        batch = unpack(data)
        known = batch.beside.get("teacher")
        teacher, teacher_features = self.ask(batch.inputs) if known is None else (known, {})
        with tf.GradientTape() as tape:
            outputs, features = self._see_student(batch.inputs, True)
            sight = Sight(classes(batch, teacher), as_logits(outputs, self._task), teacher, features, teacher_features)
            addends = {term.name: term.weight * term.value(sight) for term in self.terms}
            if self._label_weight:
                addends["labels"] = self._label_weight * self.label_loss(batch, outputs)
            loss = tf.add_n([*addends.values(), *self.losses])
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        return self.log(batch, outputs, loss, addends)


def check_alike(student: keras.Model, teacher: keras.Model, *, resize: bool) -> None:
    """Refuses a teacher that cannot teach this student.

    Raises:
        ModelError: other classes or another input shape, with both; where only height and width differ, with the way out.
    """
    ours, theirs = ([list(tensor.shape[1:]) for tensor in model.outputs] for model in (student, teacher))
    if ours != theirs:
        raise ModelError(f"teacher {teacher.name} must have the student's outputs {_shown(ours)}. Received: {_shown(theirs)}.")
    ours, theirs = ([list(tensor.shape[1:]) for tensor in model.inputs] for model in (student, teacher))
    images = len(ours) == len(theirs) == 1 and len(ours[0]) == len(theirs[0]) == 3
    sizes_alone = images and ours[0][2] == theirs[0][2]
    is_open = any(None in shape for shape in theirs)  # nothing can be resized to it
    if ours != theirs and not (resize and sizes_alone and not is_open):
        hint = " `resize: true` resizes the samples for it." if sizes_alone else ""
        hint = " `input_shape` of a teacher from a file fixes its size." if is_open else hint
        raise ModelError(f"teacher {teacher.name} must take the student's inputs {_shown(ours)}. Received: {_shown(theirs)}.{hint}")


def _shown(shapes: Sequence[Sequence[int | None]]) -> str:
    return " and ".join(str(shape) for shape in shapes)


def _viewer(model: keras.Model, names: Sequence[str]) -> View:
    """A function to the output and the named layers' features, in one pass; images are resized to the model's input."""
    wanted = list(dict.fromkeys(names))
    taps = keras.Model(model.inputs, [model.outputs[0], *(layer_output(model, name) for name in wanted)])
    shape = model.inputs[0].shape[1:]

    def see(inputs: Any, training: bool) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        if len(model.inputs) == 1 and inputs.shape[1:] != shape:
            inputs = tf.image.resize(inputs, shape[:2])
        output, *features = tf.nest.flatten(taps(inputs, training=training))
        return output, dict(zip(wanted, features, strict=True))

    return see
