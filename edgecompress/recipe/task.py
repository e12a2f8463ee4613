"""The `task:` section of a recipe: what the model is for, and which metric decides."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from edgecompress.recipe.section import Section
from edgecompress.recipe.suggestions import did_you_mean, received

METRIC_RISES: dict[str, bool] = {
    "accuracy": True, "top_5_accuracy": True, "auc": True, "mean_squared_error": False, "mean_absolute_error": False,
    "binary_crossentropy": False, "sparse_categorical_crossentropy": False,
}  # fmt: skip
# What stands beside metrics in logs, curves, reports and searches; and how that begins which stands there for each part of a loss with
# teachers, and for each metric on validation.
RESERVED = ("loss", "per_class", "size", "latency", "macs", "arena", "epoch", "lr", "learning_rate")
RESERVED_STARTS = ("loss_", "val_", "validation_")
METRICS_OF_KIND = {
    "classification": ["accuracy", "top_5_accuracy", "sparse_categorical_crossentropy"],
    "multi_label": ["accuracy", "auc", "binary_crossentropy"],
    "regression": ["mean_squared_error", "mean_absolute_error"],
    "autoencoder": ["auc", "mean_squared_error", "mean_absolute_error"],
}

Function = Annotated[
    str,
    Field(
        pattern=r"^.+:[A-Za-z_][A-Za-z0-9_]*$",
        json_schema_extra={"$comment": "file.py:function or module.path:function"},
        examples=["mine.py:focal_loss"],
    ),
]
METRIC_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class OwnMetric(Section):
    """A metric that a function of the user's own computes (--allow-code); see `edgecompress.task_functions`."""

    function: Function = Field(
        description="file.py:function or module.path:function, called with NumPy arrays (targets, outputs); gives one number per sample"
    )
    rises: bool = Field(description="more of it is better")


class Task(Section):
    """What the model is for. The first metric decides; its direction is known."""

    loss: Literal["sparse_categorical_crossentropy", "binary_crossentropy", "mean_squared_error", "mean_absolute_error"] = Field(
        default="sparse_categorical_crossentropy", description="Keras name of what training minimizes; it also tells the kind of task"
    )
    own_loss: Function | None = Field(
        default=None,
        description="what training minimizes instead (--allow-code): called with tensors (targets, outputs), gives one number per sample",
    )
    from_logits: bool = Field(default=True, description="the model's outputs are logits, not probabilities")
    own_metrics: dict[str, OwnMetric] = Field(default={}, description="metrics that functions of your own compute (--allow-code)")
    metrics: list[str] = Field(
        default=["accuracy"],
        min_length=1,
        json_schema_extra={"items": {"anyOf": [{"enum": list(METRIC_RISES)}, {"type": "string"}]}},
        description="Keras names, or names of own_metrics; the first one decides. auc with target input: of the reconstruction error, "
        "see data.normal",
    )
    target: Literal["label", "input"] = Field(default="label", description="input: an autoencoder, trained to give its input back")

    @property
    def kind(self) -> Literal["classification", "multi_label", "regression", "autoencoder"]:
        """classification: one class per sample; multi_label: independent probabilities (one of them: binary)."""
        if self.target == "input":
            return "autoencoder"
        if self.loss == "sparse_categorical_crossentropy":
            return "classification"
        return "multi_label" if self.loss == "binary_crossentropy" else "regression"

    def rises(self, metric: str) -> bool:
        """Whether more of a metric is better; False for what is no metric, such as bytes."""
        return self.own_metrics[metric].rises if metric in self.own_metrics else METRIC_RISES.get(metric, False)

    @field_validator("loss", mode="before")
    @classmethod
    def _loss_is_no_function(cls, loss: Any) -> Any:
        if isinstance(loss, str) and ":" in loss:
            raise ValueError(
                f"loss must be a Keras name, which tells the kind of task; a function of your own stands in own_loss.{received(loss)}"
            )
        return loss

    @field_validator("metrics")
    @classmethod
    def _metrics_known(cls, metrics: list[str], info: ValidationInfo) -> list[str]:
        known = [*METRIC_RISES, *info.data.get("own_metrics", metrics)]  # where those are wrong, that is the error
        if (bad := next((name for name in metrics if name not in known), None)) is not None:
            names = ", ".join(repr(name) for name in known)
            raise ValueError(f"metrics must be among {names}, or be named in own_metrics.{received(bad)}{did_you_mean(bad, known)}")
        return metrics

    @model_validator(mode="after")
    def _metrics_fit(self) -> "Task":
        if odd := [name for name in self.own_metrics if not METRIC_NAME.fullmatch(name)]:
            raise ValueError(f"own_metrics must have names of small letters, digits and _, at most 40.{received(odd[0])}")
        if taken := [name for name in self.own_metrics if name in METRIC_RISES or name in RESERVED]:
            raise ValueError(f"own_metrics must have names of their own. Received: {', '.join(taken)}")
        if parts := [name for name in self.own_metrics if name.startswith(RESERVED_STARTS)]:
            starts = " or ".join(RESERVED_STARTS)
            raise ValueError(f"own_metrics must have names that do not begin with {starts}. Received: {', '.join(parts)}")
        allowed = [*METRICS_OF_KIND[self.kind], *self.own_metrics]
        if bad := [metric for metric in self.metrics if metric not in allowed]:
            raise ValueError(f"metrics of a {self.kind} task must be among {', '.join(sorted(allowed))}. Received: {', '.join(bad)}")
        if unused := [name for name in self.own_metrics if name not in self.metrics]:
            raise ValueError(f"own_metrics must be named in metrics as well. Received: {', '.join(unused)} only in own_metrics")
        if self.kind == "autoencoder" and self.loss not in ("mean_squared_error", "mean_absolute_error"):
            raise ValueError(f"loss must be mean_squared_error or mean_absolute_error for target: input. Received: {self.loss}")
        return self
