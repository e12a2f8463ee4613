"""Config of `quantize_aware`."""

from typing import Annotated, Literal

from pydantic import Field

from edgecompress.recipe.stages.config import Layers, Skip, StageConfig, Train
from edgecompress.recipe.weight_types import BITS, LOW_BIT_FORMATS


class QuantizeAware(StageConfig):
    """Trains with quantization simulated.

    8 bits (TF-MOT): weights and activations; only `train` may follow, and the export is int8. Fewer bits, ternary and binary: weights
    only, with one scale per output channel; nothing may follow, and an export of as many bits stores exactly the trained weights.

    Source: 8 bits Jacob et al., Quantization and Training of Neural Networks (2018), section 3; 4 and 2 Esser et al., Learned Step Size
    Quantization (2020); ternary Li & Liu, Ternary Weight Networks (2016); binary Rastegari et al., XNOR-Net (2016).
    """

    technique: Literal["quantize_aware"] = "quantize_aware"
    bits: Literal[8, 4, 2, "ternary", "binary"] = Field(
        default=8,
        description="4: -7 to 7, 2: -1, 0 and 1, with learned scales; ternary: -1, 0 and 1, binary: -1 and 1, with scales of means",
    )
    layers: Layers = []
    skip: Skip = []
    train: Annotated[Train, Field(description="training with quantization simulated")]

    @property
    def last(self) -> bool:
        """Whether no stage may follow, not even `train`: it would move the weights off their grid."""
        return self.bits != 8

    def fits(self, weight_type: str) -> bool:
        """Whether a file with weights of this type holds the trained ones as they are."""
        return BITS[weight_type] in ((4,) if self.bits == 4 else (2, 4))

    @property
    def formats(self) -> tuple[str, ...]:
        """The exports that fit; below 8 bits int8 with `export.layers` fits too."""
        if self.bits == 8:
            return ("int8",)
        return tuple(name for name, weight_type in LOW_BIT_FORMATS.items() if self.fits(weight_type))
