"""The `search:` block of a recipe: which fields are tried, what is wanted, how long."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from edgecompress.recipe.section import Section

MEASURES = ("size", "latency", "macs", "arena")  # what can be wanted beside the metrics of the task; less is better
MOST_ORDERED = 5  # stages: 120 orders


class Dimension(Section):
    """What one field may be: a range, or a list of values."""

    low: int | float | None = Field(default=None, description="least value")
    high: int | float | None = Field(default=None, description="largest value")
    step: float | None = Field(default=None, gt=0, description="distance of the values that are tried; absent: any value")
    log: bool = Field(default=False, description="small values are tried as often as large ones, by their logarithm")
    choices: list[Any] | None = Field(default=None, min_length=1, max_length=100, description="the values; a plain list is short for it")

    @property
    def is_written_whole(self) -> bool:
        """Whether both ends are written without a point: the field may take whole numbers only."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @model_validator(mode="after")
    def _not_empty(self) -> "Dimension":
        is_range = self.low is not None or self.high is not None or self.step is not None or self.log
        if is_range == (self.choices is not None):
            raise ValueError(
                "dimension must be a list of values, or a range {low: ..., high: ...}. Received: " + ("both" if is_range else "neither")
            )
        if self.choices is not None:
            return self
        if self.low is None or self.high is None:
            raise ValueError("range must have low and high. Received: one of them")
        if not self.low < self.high:
            raise ValueError(f"low must be less than high: the range is empty. Received: {self.low:g} and {self.high:g}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError(f"log must be left to a range above 0 without step. Received: low {self.low:g}, step {self.step}")
        if self.step is not None and self.step > self.high - self.low:
            raise ValueError(f"step must be at most high - low. Received: {self.step:g}")
        return self


def _listed(value: Any) -> Any:
    """`[a, b]` is short for `{choices: [a, b]}`."""
    return {"choices": value} if isinstance(value, list) else value


AnyDimension = Annotated[
    Dimension, BeforeValidator(_listed, json_schema_input_type=Annotated[list[Any], Field(min_length=1, max_length=100)] | Dimension)
]


class Halving(Section):
    """Short recoveries first: what is hopeless after them gets no more (successive halving, Li et al. 2018, Jamieson & Talwalkar 2016)."""

    rungs: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        default=[0.25], min_length=1, max_length=5, description="fractions of the epochs of all stages that a trial runs first, rising"
    )
    keep: float = Field(default=0.5, gt=0, lt=1, description="fraction of the trials of a rung, the best, that go on")

    @model_validator(mode="after")
    def _rungs_rise(self) -> "Halving":
        if any(first >= second for first, second in zip(self.rungs, self.rungs[1:], strict=False)):
            raise ValueError(f"rungs must rise. Received: {self.rungs}")
        return self


class Search(Section):
    """Tries recipes; limits come from `goal`, figures from the validation split."""

    space: dict[str, AnyDimension] = Field(
        default={}, max_length=100,
        description="field -> values; a dotted path as --set takes it, stages by id: stages.cut.macs: {low: 0.2, high: 0.9}",
    )  # fmt: skip
    optional: list[str] = Field(default=[], max_length=100, description="ids of stages that a trial may leave out")
    order: Literal["given", "any"] | list[str] = Field(
        default="given",
        description=f"any: stages with an id change places where their rules allow it; or the ids of those that do, at most {MOST_ORDERED}",
    )
    objectives: list[str] = Field(
        default=[], max_length=4,
        description=f"metrics of the task, {', '.join(MEASURES)}; the first chooses among the best; absent: the first metric, size",
    )  # fmt: skip
    trials: int = Field(default=100, ge=1, le=1_000_000, description="recipes to try, over all calls and workers")
    minutes: float | None = Field(default=None, gt=0, description="no further trial is begun after so long, in each call; absent: no limit")
    sampler: Literal["ehvi", "tpe", "nsga2", "gp", "random"] = Field(
        default="ehvi",
        description="how points are drawn. ehvi: the middle and both ends of the ranges first, then the largest expected gain of "
        "hypervolume per stage that is left to train, under Gaussian processes; the others are Optuna's; all but gp and random know the "
        "limits; gp needs torch",
    )
    harvest: int = Field(
        default=2, ge=0, le=20,
        description="points that a trained trial brings along at most, beside `trials`: those that differ in the export or in stages that "
        "need no training, so that only a conversion and an evaluation are missing",
    )  # fmt: skip
    halving: Halving | None = Field(default=Halving(), description="short recoveries first, where recipes train for long; null: none")
    first: list[dict[str, Any]] = Field(
        default=[],
        max_length=10_000,
        description="points that are tried first and in full: {path: value}; what a point leaves out is drawn",
    )

    @model_validator(mode="after")
    def _something_varies(self) -> "Search":
        if not self.space and not self.optional and self.order == "given":
            raise ValueError("space must name a field to vary. Received: nothing")
        if len(set(self.objectives)) < len(self.objectives):
            raise ValueError(f"objectives must each be named once. Received: {self.objectives}")
        if isinstance(self.order, list) and not 2 <= len(set(self.order)) == len(self.order) <= MOST_ORDERED:
            raise ValueError(f"order must be 2 to {MOST_ORDERED} different ids. Received: {self.order}")
        return self
