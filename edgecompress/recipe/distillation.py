"""What a student learns from teachers: who teaches, the losses and their weights. Free of TensorFlow."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, model_validator
from pydantic_core import core_schema

from edgecompress.recipe.model import AnyModel
from edgecompress.recipe.section import Section

RESPONSE = ("kd", "dkd", "hard_labels", "mse")  # losses between outputs; all others look at layers of one teacher
# Losses that need probabilities, and the kinds of task that have them.
LOSS_TASKS = {"kd": ("classification", "multi_label"), "dkd": ("classification",), "hard_labels": ("classification",)}


class OrTrue:
    """Lets `true` stand for a mapping of defaults, and `false` for nothing."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        schema = handler(source)
        written = core_schema.union_schema([core_schema.bool_schema(), schema])
        return core_schema.no_info_before_validator_function(_default_if_true, schema, json_schema_input_schema=written)


def _default_if_true(value: Any) -> Any:
    return {} if value is True else None if value is False else value


class Loss(Section):
    """A loss between student and teacher; `name` is its key in a recipe."""

    name: ClassVar[str]
    weight: float = Field(default=1.0, ge=0, le=1e9, description="factor of this loss in the sum")


class KD(Loss):
    """Knowledge distillation: T^2 KL of softened outputs; of sigmoids where the task is multi-label.

    Source: Hinton et al., Distilling the Knowledge in a Neural Network (2015), section 2.
    """

    name = "kd"
    weight: float = Field(default=0.9, ge=0, le=1e9, description="factor of this loss in the sum, alpha in the literature")
    temperature: float = Field(default=2.0, gt=0, le=1000, description="T that outputs are divided by: high, small probabilities count too")


class DKD(Loss):
    """Decoupled knowledge distillation: T^2 (alpha TCKD + beta NCKD).

    Source: Zhao et al., Decoupled Knowledge Distillation (2022), section 3.2.
    """

    name = "dkd"
    temperature: float = Field(default=2.0, gt=0, le=1000, description="T that outputs are divided by")
    target_weight: float = Field(default=1.0, ge=0, le=1e6, description="alpha, of the label's class against the others")
    others_weight: float = Field(default=8.0, ge=0, le=1e6, description="beta, of the other classes among themselves")

    @model_validator(mode="after")
    def _looks_at_something(self) -> "DKD":
        if self.target_weight == self.others_weight == 0:
            raise ValueError("target_weight and others_weight must not both be 0. Received: 0 and 0")
        return self


class HardLabels(Loss):
    """Cross-entropy with the class that the teacher chooses.

    Source: Touvron et al., Training data-efficient image transformers (2021), section 4.
    """

    name = "hard_labels"


class MSE(Loss):
    """Mean squared difference of the outputs: logits, or values of a regression or an autoencoder.

    Source: Ba & Caruana, Do Deep Nets Really Need to be Deep? (2014), section 2.2.
    """

    name = "mse"


def _auto(value: Any) -> Any:
    """`auto` is the empty list."""
    return [] if value == "auto" else value


Pattern = Annotated[str, Field(min_length=1)]
Pair = Annotated[list[Pattern], Field(min_length=2, max_length=2)]
Pairs = Annotated[
    list[Pair],
    BeforeValidator(_auto, json_schema_input_type=Literal["auto"] | list[Pair]),
    Field(description="[teacher layers, student layers]: names, globs (conv*), re:REGEX or type:LayerClass; auto or empty: found"),
]


class PairedLoss(Loss):
    """A loss between layers."""

    pairs: Pairs = []


class Hints(PairedLoss):
    """Mean squared difference of features.

    Source: Romero et al., FitNets (2015), section 2.2.
    """

    name = "hints"


class AttentionTransfer(PairedLoss):
    """Squared difference of the maps of where layers look.

    Source: Zagoruyko & Komodakis, Paying More Attention to Attention (2017), section 3.1.
    """

    name = "attention_transfer"


class Gram(PairedLoss):
    """Mean squared difference of Gram matrices.

    Source: Huang & Wang, Like What You Like (2017), section 4.1.2.
    """

    name = "gram"


class FSP(PairedLoss):
    """Mean squared difference of the flow from each paired layer to the next one; needs two pairs.

    Source: Yim et al., A Gift from Knowledge Distillation (2017), section 3.
    """

    name = "fsp"


class RKDDistance(PairedLoss):
    """Huber loss between distances of samples.

    Source: Park et al., Relational Knowledge Distillation (2019), section 3.2.1.
    """

    name = "rkd_distance"


class RKDAngle(PairedLoss):
    """Huber loss between angles of triples of samples.

    Source: Park et al., Relational Knowledge Distillation (2019), section 3.2.2.
    """

    name = "rkd_angle"


class SimilarityPreserving(PairedLoss):
    """Squared difference of the similarities of samples.

    Source: Tung & Mori, Similarity-Preserving Knowledge Distillation (2019), section 3.1.
    """

    name = "similarity_preserving"


class CorrelationCongruence(PairedLoss):
    """Squared difference of Gaussian kernels of samples.

    Source: Peng et al., Correlation Congruence for Knowledge Distillation (2019), section 3.3.
    """

    name = "correlation_congruence"
    gamma: float = Field(default=0.4, gt=0, le=100, description="of the kernel exp(-gamma distance^2)")
    order: int = Field(default=2, ge=1, le=20, description="of its Taylor series")


class Losses(Section):
    """The losses by name, each `true` or a mapping of its settings; they add up with their weights."""

    kd: Annotated[KD | None, OrTrue()] = Field(default=None, description="softened outputs (Hinton)")
    dkd: Annotated[DKD | None, OrTrue()] = Field(default=None, description="kd with weights of its two parts (Zhao); classification")
    hard_labels: Annotated[HardLabels | None, OrTrue()] = Field(default=None, description="the teacher's choice as label; classification")
    mse: Annotated[MSE | None, OrTrue()] = Field(default=None, description="squared difference of outputs (Ba & Caruana)")
    hints: Annotated[Hints | None, OrTrue()] = Field(default=None, description="squared difference of features (FitNets)")
    attention_transfer: Annotated[AttentionTransfer | None, OrTrue()] = Field(default=None, description="where layers look (Zagoruyko)")
    gram: Annotated[Gram | None, OrTrue()] = Field(default=None, description="which channels fire together (Huang & Wang)")
    fsp: Annotated[FSP | None, OrTrue()] = Field(default=None, description="how one layer flows into the next (Yim)")
    rkd_distance: Annotated[RKDDistance | None, OrTrue()] = Field(default=None, description="distances of samples (Park)")
    rkd_angle: Annotated[RKDAngle | None, OrTrue()] = Field(default=None, description="angles of triples of samples (Park)")
    similarity_preserving: Annotated[SimilarityPreserving | None, OrTrue()] = Field(
        default=None, description="similarities of samples (Tung & Mori)"
    )
    correlation_congruence: Annotated[CorrelationCongruence | None, OrTrue()] = Field(default=None, description="kernels of samples (Peng)")

    @property
    def chosen(self) -> list[Loss]:
        """Those that are on, in a fixed order."""
        found = (getattr(self, name) for name in type(self).model_fields)
        return [loss for loss in found if loss is not None]


class BaselineTeacher(Section):
    """The baseline of the recipe."""

    source: Literal["baseline"] = "baseline"


def _teachers(value: Any) -> Any:
    """One teacher, or several; `baseline` is short for its mapping."""
    values = value if isinstance(value, list) else [value]
    return [{"source": item} if item == "baseline" else item for item in values]


Teacher = Annotated[BaselineTeacher | AnyModel, Field(discriminator="source")]
Written = Literal["baseline"] | Teacher  # as one teacher may be written
Teachers = Annotated[
    list[Teacher], Field(min_length=1, max_length=20), BeforeValidator(_teachers, json_schema_input_type=Written | list[Written])
]


class Distillation(Section):
    """Teachers and losses."""

    teacher: Teachers = Field(
        default=[BaselineTeacher()],
        description="baseline, or a model as under `model:` (with `train` it is trained first), or a list of those",
    )
    combine: Literal["probabilities", "logits"] = Field(default="probabilities", description="of several teachers, what is averaged")
    resize: bool = Field(default=False, description="resize the samples to the teacher's height and width")
    labels: float | None = Field(
        default=None, ge=0, le=1e9, description="factor of the task's own loss; absent: 1 less the weight of kd, at least 0"
    )
    losses: Losses = Field(default=Losses(), description="absent: kd, for values mse")

    @model_validator(mode="after")
    def _teaches(self) -> "Distillation":
        chosen = self.losses.chosen
        if chosen and not any(loss.weight for loss in chosen):
            raise ValueError(f"weights of losses must not all be 0. Received: {', '.join(loss.name for loss in chosen)} with weight 0")
        looks_inside = ", ".join(loss.name for loss in chosen if loss.name not in RESPONSE)
        if looks_inside and len(self.teacher) > 1:
            raise ValueError(f"teacher must be one for losses between layers ({looks_inside}). Received: {len(self.teacher)} teachers")
        return self

    def losses_for(self, kind: str) -> list[Loss]:
        """The losses, those of weight 0 left out; where the recipe names none, the one that fits the kind of task."""
        if not self.losses.chosen:
            return [KD()] if kind in LOSS_TASKS["kd"] else [MSE()]
        return [loss for loss in self.losses.chosen if loss.weight]

    def label_weight(self, kind: str) -> float:
        """The factor of the task's own loss."""
        return label_weight(self.losses_for(kind)) if self.labels is None else self.labels


def label_weight(losses: Sequence[Loss]) -> float:
    """The factor of the task's own loss where nobody says it: what kd leaves of 1."""
    return max(0.0, 1 - sum(loss.weight for loss in losses if isinstance(loss, KD)))
