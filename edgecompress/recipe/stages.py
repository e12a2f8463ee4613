"""The Config of every technique, and the table that maps a recipe name to its code. Free of TensorFlow."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

RecoveryTrain = Annotated["Train | None", Field(description="training in this stage; absent: none", examples=[{"epochs": 2}])]
Layers = Annotated[
    list[str], Field(description="layers to work on: a name, a glob (conv*), re:REGEX or type:LayerClass; empty: all that fit")
]
Skip = Annotated[list[str], Field(description="layers to leave alone, written like `layers`")]


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Train(Config):
    """A training, the same object wherever something trains."""

    epochs: int = Field(ge=1, le=100_000, description="passes over the training samples", examples=[2])
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = Field(
        default="adam", description="Keras optimizer, other settings at their defaults; sgd with momentum 0.9"
    )
    learning_rate: float = Field(default=1e-3, gt=0, description="of the optimizer, at the first step")
    schedule: Literal["constant", "cosine", "linear"] = Field(
        default="constant", description="of the learning rate, down to 0 at the last step"
    )
    early_stop: int | None = Field(
        default=None, ge=1, le=100_000,
        description="stop after so many epochs without a better validation metric, keep the best; absent: never. auc is approximate here",
    )  # fmt: skip
    freeze: list[str] = Field(default=[], description="layers that do not train: a name, a glob (conv*), re:REGEX or type:LayerClass")


class StageConfig(Config):
    id: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$",
        description="names this stage for --set stages.ID.field",
        json_schema_extra={"$comment": "letters, digits and '_', the first not a digit"},
    )


class TrainStage(Train, StageConfig):
    """Trains the model: fine-tuning, or recovery between two lossy stages."""

    technique: Literal["train"] = "train"

    @property
    def train(self) -> Train:
        """The training itself, without the stage around it."""
        return Train.model_validate(self.model_dump(include=set(Train.model_fields)))


class PruneWeights(StageConfig):
    """Sets the weights of least magnitude to zero, gradually while training (TF-MOT) or at once (without `train`).

    Gzip-size and later stages gain; latency on a CPU does not.

    Source: Zhu & Gupta, To prune, or not to prune (2017), section 3.
    """

    technique: Literal["prune_weights"] = "prune_weights"
    sparsity: float = Field(ge=0, lt=1, description="fraction of zeros in the kernels", examples=[0.6])
    scope: Literal["layer", "global"] = Field(
        default="layer", description="layer: `sparsity` holds in each kernel; global: in all of them together"
    )
    schedule: Literal["polynomial", "constant"] = Field(default="polynomial", description="how sparsity rises while training")
    initial_sparsity: float = Field(default=0.0, ge=0, lt=1, description="where the polynomial schedule starts")
    begin: float = Field(default=0.0, ge=0, description="epoch at which pruning starts")
    end: float | None = Field(default=None, gt=0, description="epoch at which `sparsity` is reached; absent: two thirds of the epochs")
    layers: Layers = []
    skip: Skip = []
    train: RecoveryTrain = None

    @property
    def end_epoch(self) -> float:
        """The epoch at which `sparsity` is reached."""
        return self.end if self.end is not None else (self.train.epochs * 2 / 3 if self.train else 0.0)

    @model_validator(mode="after")
    def _schedule_fits(self) -> "PruneWeights":
        if self.schedule == "constant" and self.initial_sparsity:
            raise ValueError(f"initial_sparsity must be 0 with the schedule constant. Received: {self.initial_sparsity}.")
        if self.initial_sparsity > self.sparsity:
            raise ValueError(f"initial_sparsity must be at most sparsity ({self.sparsity}). Received: {self.initial_sparsity}")
        if self.train is None and (self.begin or self.end is not None or self.initial_sparsity):
            raise ValueError("train must be given with begin, end or initial_sparsity. Received: nothing")
        if self.train is not None and not self.begin < self.end_epoch <= self.train.epochs:
            received = f"begin {self.begin}, end {self.end_epoch:g}, epochs {self.train.epochs}"
            raise ValueError(f"epochs must be such that begin < end <= train.epochs. Received: {received}")
        return self


class ClusterWeights(StageConfig):
    """Shares a few values among the weights of each layer (TF-MOT): a file that compresses well in transport.

    Source: Han et al., Deep Compression (2016), section 3.
    """

    technique: Literal["cluster_weights"] = "cluster_weights"
    clusters: int = Field(default=16, ge=2, le=256, description="distinct values per layer", examples=[16])
    initialization: Literal["linear", "kmeans_plus_plus", "density", "random"] = Field(
        default="kmeans_plus_plus", description="where the distinct values start, as TF-MOT names it"
    )
    layers: Layers = []
    skip: Skip = []
    train: RecoveryTrain = None


class QuantizeAware(StageConfig):
    """Trains with 8-bit quantization simulated (TF-MOT). Last stage: only `train` may follow; export as int8.

    Source: Jacob et al., Quantization and Training of Neural Networks (2018), section 3.
    """

    technique: Literal["quantize_aware"] = "quantize_aware"
    skip: Skip = []
    train: Annotated[Train, Field(description="training with quantization simulated")]


@dataclass(frozen=True)
class Technique:
    """Where a technique lives, and what it asks of the rest of a recipe, as data that `rules` checks.

    `module` is imported when first needed. It holds `apply(model, config, context) -> StageResult`, and
    `plan(model, config) -> (model, records)`, which says without training what `apply` would do.
    """

    config: type[StageConfig]
    module: str
    version: int  # enters the cache key: raise it when the same config would give another model
    followers: tuple[str, ...] | None = None  # the only techniques that may stand after it; None: any
    exports: tuple[str, ...] | None = None  # the only formats that fit its model; None: any
    releases: tuple[str, ...] = ()  # techniques whose result it undoes in part


TECHNIQUES: dict[str, Technique] = {
    "train": Technique(TrainStage, "edgecompress.techniques.train", 1),
    "prune_weights": Technique(PruneWeights, "edgecompress.techniques.prune_weights", 1, releases=("cluster_weights",)),
    "cluster_weights": Technique(ClusterWeights, "edgecompress.techniques.cluster_weights", 1),
    "quantize_aware": Technique(QuantizeAware, "edgecompress.techniques.quantize_aware", 1, followers=("train",), exports=("int8",)),
}

Stage = Annotated[TrainStage | PruneWeights | ClusterWeights | QuantizeAware, Field(discriminator="technique")]
