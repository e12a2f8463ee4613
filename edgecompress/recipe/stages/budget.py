"""How much is left after a structured pruning: the fields that its Configs share."""

from typing import Annotated

from pydantic import Field, model_validator

from edgecompress.recipe.stages.config import StageConfig

LEAST_COUNT = 100  # from here on a budget of MACs or parameters is a count, not a fraction

Amount = Annotated[float | None, Field(gt=0)]


class Budget(StageConfig):
    """What may be left. Exactly one field is given."""

    macs: Amount = Field(
        default=None, description="multiply-accumulates that stay: a fraction of those before, in (0, 1], or a count", examples=[0.5]
    )
    parameters: Amount = Field(default=None, description="parameters that stay: a fraction of those before, in (0, 1], or a count")
    size_kb: Amount = Field(
        default=None, description="bytes / 1000 of the .tflite in the recipe's export format after the shrink, measured"
    )
    latency_ms: Amount = Field(
        default=None,
        description="median time of one invoke of the .tflite: predicted from target.latency_table, without one measured here, one thread",
    )
    fraction: float | None = Field(default=None, ge=0, lt=1, description="channels that go, of those that can be cut in the chosen layers")

    @property
    def kind(self) -> str:
        """The field that is given."""
        return next(name for name in BUDGETS if getattr(self, name) is not None)

    @property
    def amount(self) -> float:
        """Its value."""
        return float(getattr(self, self.kind))

    @model_validator(mode="after")
    def _one_budget(self) -> "Budget":
        given = [name for name in BUDGETS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"budget must be exactly one of {', '.join(BUDGETS)}. Received: {' and '.join(given) or 'none'}")
        check_share("macs", self.macs)
        check_share("parameters", self.parameters)
        return self


def check_share(name: str, amount: float | None) -> None:
    """Raises ValueError for what is neither a fraction nor can be meant as a count."""
    if amount is not None and 1 < amount < LEAST_COUNT:
        raise ValueError(f"{name} must be a fraction in (0, 1], or a count of at least {LEAST_COUNT}. Received: {amount:g}")


BUDGETS = tuple(name for name in Budget.model_fields if name not in StageConfig.model_fields)
