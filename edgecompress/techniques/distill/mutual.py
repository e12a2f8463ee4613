"""Deep mutual learning: students that train together and are each other's teachers."""

from collections.abc import Sequence
from typing import Any

from edgecompress.backend import keras, tf
from edgecompress.recipe.distillation import KD, Loss
from edgecompress.recipe.schema import Task
from edgecompress.techniques.distill.outputs import as_logits
from edgecompress.techniques.distill.taught import Batch, Taught, classes, unpack
from edgecompress.techniques.distill.terms import Sight, Term, make_terms

DEFAULT_LOSSES = (KD(temperature=1.0, weight=1.0),)  # the KL of the paper


class MutualLearning(Taught):
    """Each student's loss is its own compiled loss plus, for each weight, the mean over the other students as its teachers.

    A student's outputs are constants where it teaches, so one update of all is an update of each. Logs are means over the
    students; metrics and validation are the first one's.

    Args:
        students: at least 2, of one input and output shape; all are trained in place.
        losses: between outputs.
        labels: factor of the compiled loss.
        task: says what outputs are.

    Source: Zhang et al., Deep Mutual Learning (2018), section 2; all students updated at once.
    """

    def __init__(self, students: Sequence[keras.Model], losses: Sequence[Loss], *, labels: float, task: Task) -> None:
        terms = make_terms(losses, task.kind, students[0], students[0], 0)
        super().__init__(students[0], [*(["labels"] if labels else []), *(term.name for term in terms)])
        self.students = list(students)
        self.terms = terms
        self._task, self._label_weight = task, labels

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One update of all students."""
        batch, number = unpack(data), len(self.students)
        with tf.GradientTape() as tape:
            outputs = [student(batch.inputs, training=True) for student in self.students]
            logits = [as_logits(output, self._task) for output in outputs]
            addends = {term.name: term.weight * self._taught(term, batch, logits) for term in self.terms}
            if self._label_weight:
                addends["labels"] = self._label_weight * tf.add_n([self.label_loss(batch, output) for output in outputs])
            loss = tf.add_n([*addends.values(), *self.losses])
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        return self.log(batch, outputs[0], loss / number, {name: addend / number for name, addend in addends.items()})

    @staticmethod
    def _taught(term: Term, batch: Batch, logits: Sequence[tf.Tensor]) -> tf.Tensor:
        """The sum over the students of the mean over their teachers."""
        taught = [(mine, tf.stop_gradient(other)) for mine in logits for other in logits if other is not mine]
        sights = [Sight(classes(batch, teacher), mine, teacher, {}, {}) for mine, teacher in taught]
        return tf.add_n([term.value(sight) for sight in sights]) / (len(logits) - 1)
