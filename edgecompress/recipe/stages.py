"""The Config of every technique, and the table that maps a recipe name to its code. Free of TensorFlow."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Layers = Annotated[list[str], Field(description="layers to work on: a name, a glob (conv*), re:REGEX or type:LayerClass; empty: all that fit")]
Skip = Annotated[list[str], Field(description="layers to leave alone, written like `layers`")]


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Train(Config):
    """A training, the same object wherever something trains."""

    epochs: int = Field(ge=1, le=100_000)
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["constant", "cosine", "linear"] = Field(default="constant", description="of the learning rate, down to 0 at the last step")
    early_stop: int | None = Field(default=None, ge=1, description="stop after so many epochs without a better validation metric; keep the best")
    freeze: list[str] = Field(default=[], description="layers that do not train: a name, a glob (conv*), re:REGEX or type:LayerClass")


class StageConfig(Config):
    id: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="names this stage for --set stages.ID.field")


class TrainStage(StageConfig):
    """Trains the model: fine-tuning, or recovery between two lossy stages."""

    technique: Literal["train"] = "train"
    epochs: int = Field(ge=1, le=100_000)
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    early_stop: int | None = Field(default=None, ge=1)
    freeze: list[str] = []

    @property
    def train(self) -> Train:
        return Train(**self.model_dump(exclude={"technique", "id"}))


class PruneWeights(StageConfig):
    """Sets the weights of least magnitude to zero, gradually while training (TF-MOT) or at once (without `train`).

    Source: Zhu & Gupta, To prune, or not to prune (2017), section 3. Gzip-size and later stages gain; latency on a CPU does not.
    """

    technique: Literal["prune_weights"] = "prune_weights"
    sparsity: float = Field(ge=0, lt=1, description="fraction of zeros in each kernel (scope layer) or in all of them together (scope global)")
    scope: Literal["layer", "global"] = "layer"
    schedule: Literal["polynomial", "constant"] = Field(default="polynomial", description="how sparsity rises while training")
    initial_sparsity: float = Field(default=0.0, ge=0, lt=1, description="where the polynomial schedule starts")
    begin: float = Field(default=0.0, ge=0, description="epoch at which pruning starts")
    end: float | None = Field(default=None, gt=0, description="epoch at which `sparsity` is reached; absent: two thirds of the epochs")
    layers: Layers = []
    skip: Skip = []
    train: Train | None = None

    @model_validator(mode="after")
    def _schedule_fits(self) -> "PruneWeights":
        if self.initial_sparsity > self.sparsity:
            raise ValueError(f"initial_sparsity must be at most sparsity ({self.sparsity}). Received: {self.initial_sparsity}")
        if self.train is not None:
            end = self.end if self.end is not None else self.train.epochs
            if end > self.train.epochs or self.begin >= end:
                raise ValueError(f"begin < end <= train.epochs must hold. Received: begin {self.begin}, end {end}, epochs {self.train.epochs}")
        return self


class ClusterWeights(StageConfig):
    """Shares a few values among the weights of each layer (TF-MOT): a file that compresses well in transport.

    Source: Han et al., Deep Compression (2016), section 3.
    """

    technique: Literal["cluster_weights"] = "cluster_weights"
    clusters: int = Field(default=16, ge=2, le=256, description="distinct values per layer")
    initialization: Literal["linear", "kmeans_plus_plus", "density", "random"] = "kmeans_plus_plus"
    layers: Layers = []
    skip: Skip = []
    train: Train | None = None


class QuantizeAware(StageConfig):
    """Trains with 8-bit quantization simulated (TF-MOT). Last stage: only `train` may follow; export as int8.

    Source: Jacob et al., Quantization and Training of Neural Networks (2018), section 3.
    """

    technique: Literal["quantize_aware"] = "quantize_aware"
    skip: Skip = []
    train: Train


@dataclass(frozen=True)
class Technique:
    """`version` enters the cache key: raise it when the same config would give another model."""

    config: type[StageConfig]
    apply: str  # "module:function", imported when the stage runs
    version: int


TECHNIQUES: dict[str, Technique] = {
    "train": Technique(TrainStage, "edgecompress.techniques.train:apply", 1),
    "prune_weights": Technique(PruneWeights, "edgecompress.techniques.prune_weights:apply", 1),
    "cluster_weights": Technique(ClusterWeights, "edgecompress.techniques.cluster_weights:apply", 1),
    "quantize_aware": Technique(QuantizeAware, "edgecompress.techniques.quantize_aware:apply", 1),
}

Stage = Annotated[TrainStage | PruneWeights | ClusterWeights | QuantizeAware, Field(discriminator="technique")]
