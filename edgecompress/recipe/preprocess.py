"""The `preprocess:` and `augment:` blocks of a recipe's data: from raw samples to what the model expects."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from edgecompress.recipe.section import Number, PositiveNumber, Section


class Mfcc(Section):
    """Mel-frequency cepstral coefficients of sound; the defaults are MLPerf Tiny's keyword spotting, [49, 10, 1] for one second.

    Source: Banbury et al., MLPerf Tiny Benchmark (2021), section 4.3; parameters of the reference implementation
    (github.com/mlcommons/tiny, benchmark/training/keyword_spotting/get_dataset.py).
    """

    sample_rate: int = Field(default=16_000, gt=0, le=10**6, description="samples per second of the sound, in hertz")
    window_ms: float = Field(default=30.0, gt=0, le=10_000, description="sound that one row of the result looks at, in milliseconds")
    stride_ms: float = Field(default=20.0, gt=0, le=10_000, description="from one row to the next, in milliseconds")
    num_bands: int = Field(default=40, gt=0, le=1000, description="mel bands")
    num_coefficients: int = Field(default=10, gt=0, le=1000, description="kept of the cosine transform of the bands, the first ones")
    low_hertz: float = Field(default=20.0, ge=0, description="lower edge of the bands")
    high_hertz: float = Field(default=4000.0, gt=0, description="upper edge of the bands, at most half of sample_rate")
    normalize: Literal["peak", "none"] = Field(default="peak", description="peak: divides each sound by its highest sample first")

    @property
    def window_samples(self) -> int:
        """Length of a window."""
        return int(self.sample_rate * self.window_ms / 1000)

    @property
    def stride_samples(self) -> int:
        """Distance of two windows."""
        return int(self.sample_rate * self.stride_ms / 1000)

    @model_validator(mode="after")
    def _fits(self) -> "Mfcc":
        if self.num_coefficients > self.num_bands:
            raise ValueError(f"num_coefficients must be at most num_bands ({self.num_bands}). Received: {self.num_coefficients}")
        if not self.low_hertz < self.high_hertz <= self.sample_rate / 2:
            received = f"{self.low_hertz:g}, {self.high_hertz:g} and {self.sample_rate}"
            raise ValueError(f"low_hertz must be below high_hertz, and that at most sample_rate / 2. Received: {received}")
        if min(self.window_samples, self.stride_samples) < 1:
            raise ValueError(f"window_ms and stride_ms must be at least one sample. Received: {self.window_ms:g} and {self.stride_ms:g}")
        return self


class Preprocess(Section):
    """What the model expects: `(resized * scale - mean) / std`, the same for training, calibration and the device."""

    channel_axis: Literal["add", "none"] = Field(
        default="add", description="of arrays [n, a, b]; add: they are grey images [a, b, 1]; none: sequences [steps, features]"
    )
    mfcc: Mfcc | None = Field(default=None, description="sound becomes [windows, num_coefficients, 1] first; `{}`: as MLPerf Tiny")
    resize: Annotated[list[Annotated[int, Field(gt=0, le=10_000)]], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="[height, width] in pixels, bilinear", examples=[[96, 96]]
    )
    scale: Number = Field(default=1.0, description="factor on the raw value; fractions such as 1/255 are allowed")
    mean: list[Number] = Field(default=[0.0], description="subtracted after `scale`; one number, or one per channel")
    std: list[PositiveNumber] = Field(default=[1.0], description="divided by, after `mean`; one or one per channel")
    channels: Literal["keep", "rgb", "grayscale"] = Field(default="keep", description="colour channels of images")


def _both_ways(value: Any) -> Any:
    """`shift: 0.1` is short for `shift: [0.1, 0.1]`."""
    return [value, value] if isinstance(value, int | float) and not isinstance(value, bool) else value


_ShiftFraction = Annotated[float, Field(ge=0, lt=1)]
_ShiftFractions = Annotated[list[_ShiftFraction], Field(min_length=2, max_length=2)]
Shift = Annotated[_ShiftFractions, BeforeValidator(_both_ways, json_schema_input_type=_ShiftFraction | _ShiftFractions)]


class Augment(Section):
    """Random changes to training samples only."""

    shift: Shift = Field(
        default=[0.0, 0.0], description="largest shift, as a fraction of height and width; one for both, or [height, width]"
    )
    flip: Literal["none", "horizontal"] = Field(default="none", description="mirrors half of the images")
