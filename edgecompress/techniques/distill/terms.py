"""From the losses of a recipe to functions of what student and teacher show in a training step."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

from edgecompress.backend import keras, tf
from edgecompress.errors import ModelError
from edgecompress.recipe import distillation
from edgecompress.recipe.distillation import RESPONSE, Loss, PairedLoss
from edgecompress.techniques.distill import feature, relation, response
from edgecompress.techniques.distill.adaptors import check_comparable, make_adaptor, same_positions
from edgecompress.techniques.distill.pairs import Kind, Pair, find_pairs, layer_output

KINDS: dict[str, Kind] = {"hints": "layer", "attention_transfer": "map", "gram": "map", "fsp": "map"}  # others: embedding
LOOKS_AT_CHANNELS = ("hints", "gram", "fsp")  # those need an adaptor where channels differ


class Sight(NamedTuple):
    """What one training step sees. Logits: of values, the values. Features by layer name."""

    labels: tf.Tensor
    student: tf.Tensor
    teacher: tf.Tensor
    student_features: Mapping[str, tf.Tensor]
    teacher_features: Mapping[str, tf.Tensor]


@dataclass(frozen=True, eq=False)
class Term:
    """One addend of the loss.

    Attributes:
        name: of the loss.
        weight: its factor.
        value: the loss, without the factor.
        pairs: the layers that it looks at; none for a loss between outputs.
        adaptors: of each pair, from the student's channels to the teacher's; they train with the student and are dropped.
    """

    name: str
    weight: float
    value: Callable[[Sight], tf.Tensor]
    pairs: tuple[Pair, ...] = ()
    adaptors: tuple[keras.layers.Layer | None, ...] = ()


def make_terms(losses: Sequence[Loss], kind: str, teacher: keras.Model, student: keras.Model, seed: int) -> list[Term]:
    """One term per loss; the second of a name is called NAME_2.

    Args:
        losses: of the recipe.
        kind: of the task.
        teacher: the one that losses between layers look at.
        student: its layers may be wrapped by TF-MOT.
        seed: of the adaptors.

    Raises:
        RecipeError: pairs that match no layers, or not equally many.
        ModelError: layers that cannot be compared.
    """
    terms = [
        Term(loss.name, loss.weight, _response(loss, kind)) if loss.name in RESPONSE else _paired(loss, teacher, student, seed)  # type: ignore[arg-type]  # the others have pairs
        for loss in losses
    ]
    names = [term.name for term in terms]
    earlier = [names[:place].count(name) for place, name in enumerate(names)]
    return [replace(term, name=f"{term.name}_{number + 1}") if number else term for term, number in zip(terms, earlier, strict=True)]


def _response(loss: Any, kind: str) -> Callable[[Sight], tf.Tensor]:
    """A loss between outputs."""
    if isinstance(loss, distillation.KD):
        kd = response.sigmoid_kd if kind == "multi_label" else response.kd
        return lambda sight: kd(sight.student, sight.teacher, loss.temperature)
    if isinstance(loss, distillation.DKD):
        return lambda sight: response.dkd(
            sight.student, sight.teacher, sight.labels, loss.temperature, loss.target_weight, loss.others_weight
        )
    function = response.hard_labels if isinstance(loss, distillation.HardLabels) else response.mse
    return lambda sight: function(sight.student, sight.teacher)


def _paired(loss: PairedLoss, teacher: keras.Model, student: keras.Model, seed: int) -> Term:
    """A loss between layers: the mean over its pairs."""
    pairs = find_pairs(loss.pairs, teacher, student, KINDS.get(loss.name, "embedding"))
    adaptors: list[keras.layers.Layer | None] = [None] * len(pairs)
    if loss.name in KINDS:
        for number, pair in enumerate(pairs):
            shapes = layer_output(student, pair.student).shape, layer_output(teacher, pair.teacher).shape
            check_comparable(f"{loss.name}, {pair.teacher} and {pair.student}", *shapes)
            if loss.name in LOOKS_AT_CHANNELS:
                adaptors[number] = make_adaptor(f"{loss.name}_adaptor{number + 1}", *shapes, seed)
    compare = _flow(pairs) if isinstance(loss, distillation.FSP) else _mean_over_pairs(_comparison(loss))

    def value(sight: Sight) -> tf.Tensor:
        features = []
        for pair, adaptor in zip(pairs, adaptors, strict=True):
            ours, theirs = sight.student_features[pair.student], sight.teacher_features[pair.teacher]
            features.append((ours if adaptor is None else adaptor(ours), theirs))
        return compare(features)

    return Term(loss.name, loss.weight, value, tuple(pairs), tuple(adaptors))


Features = Sequence[tuple[tf.Tensor, tf.Tensor]]  # of each pair, the student's and the teacher's


def _comparison(loss: Any) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The loss of one pair."""
    if isinstance(loss, distillation.CorrelationCongruence):
        return lambda ours, theirs: relation.correlation_congruence(ours, theirs, loss.gamma, loss.order)
    function = getattr(feature if loss.name in KINDS else relation, loss.name)
    return (lambda *both: function(*same_positions(*both))) if loss.name in KINDS else function


def _mean_over_pairs(compare: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> Callable[[Features], tf.Tensor]:
    return lambda features: tf.add_n([compare(*both) for both in features]) / len(features)


def _flow(pairs: Sequence[Pair]) -> Callable[[Features], tf.Tensor]:
    """FSP, from each pair to the next."""
    if len(pairs) < 2:
        raise ModelError(f"fsp: pairs must be at least 2, since it compares the flow from one to the next. Received: {len(pairs)}.")

    def mean_over_flows(features: Features) -> tf.Tensor:
        sides = list(zip(*features, strict=True))  # the student's layers, the teacher's
        flows = zip(*([same_positions(*both) for both in pairwise(side)] for side in sides), strict=True)
        return tf.add_n([feature.fsp(ours, theirs) for ours, theirs in flows]) / (len(features) - 1)

    return mean_over_flows
