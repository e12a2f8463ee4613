"""The `data:` section of a recipe: where samples come from, how they are split and prepared."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edgecompress.recipe.section import Number, PositiveNumber, Section


class Preprocess(Section):
    """What the model expects: `(resized * scale - mean) / std`, the same for training, calibration and the device."""

    resize: Annotated[list[Annotated[int, Field(gt=0, le=10_000)]], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="[height, width] in pixels, bilinear", examples=[[96, 96]]
    )
    scale: Number = Field(default=1.0, description="factor on the raw value; fractions such as 1/255 are allowed")
    mean: list[Number] = Field(default=[0.0], description="subtracted after `scale`; one number, or one per channel")
    std: list[PositiveNumber] = Field(default=[1.0], description="divided by, after `mean`; one or one per channel")
    channels: Literal["keep", "rgb", "grayscale"] = Field(default="keep", description="colour channels of images")


class Augment(Section):
    """Random changes to training samples only."""

    shift: float = Field(default=0.0, ge=0, lt=1, description="largest shift, as a fraction of height and width")
    flip: Literal["none", "horizontal"] = Field(default="none", description="mirrors half of the images")


class Data(Section):
    """Where samples come from and how they are split."""

    source: Literal["digits", "mnist", "fashion_mnist", "kmnist", "npz", "image_folder"] = Field(
        description="digits: scikit-learn's handwritten digits (embedded); mnist, fashion_mnist, kmnist: the official idx files; "
        "npz: arrays x_train, y_train [x_validation, y_validation, x_test, y_test], or x, y; image_folder: one folder per class"
    )
    path: str | None = Field(default=None, description="folder or file of the source; not needed for digits")
    validation: float = Field(default=0.1, gt=0, lt=1, description="fraction of train, stratified")
    test: float = Field(default=0.2, gt=0, lt=1, description="fraction of all; only for sources without a test part of their own")
    group_by: str | None = Field(default=None, description="npz: name of an array of group labels; samples of one group stay in one split")
    limit: int | None = Field(default=None, gt=0, le=10**9, description="use at most so many training samples, class-balanced (for trials)")
    calibration: int = Field(default=200, gt=0, le=10**6, description="training samples for calibration: class-balanced, no duplicates")
    batch_size: int = Field(default=128, gt=0, le=10**6, description="samples per training step")
    preprocess: Preprocess = Preprocess()
    labels: str | None = Field(default=None, description="text file with one class name per line")
    augment: Augment = Augment()

    @model_validator(mode="after")
    def _path_where_needed(self) -> "Data":
        if self.path is None and self.source != "digits":
            raise ValueError(f"path must be given for source {self.source}. Received: nothing")
        if self.group_by is not None and self.source != "npz":
            raise ValueError(f"group_by must be absent for source {self.source}; it works with npz. Received: {self.group_by!r}")
        return self
