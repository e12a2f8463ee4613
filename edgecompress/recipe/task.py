"""The `task:` section of a recipe: what the model is for, and which metric decides."""

from typing import Literal

from pydantic import Field, model_validator

from edgecompress.recipe.section import Section

Metric = Literal[
    "accuracy", "top_5_accuracy", "auc", "mean_squared_error", "mean_absolute_error", "binary_crossentropy",
    "sparse_categorical_crossentropy",
]  # fmt: skip
METRIC_RISES: dict[str, bool] = {
    "accuracy": True, "top_5_accuracy": True, "auc": True, "mean_squared_error": False, "mean_absolute_error": False,
    "binary_crossentropy": False, "sparse_categorical_crossentropy": False,
}  # fmt: skip


class Task(Section):
    """What the model is for. The first metric decides; its direction is known."""

    loss: Literal["sparse_categorical_crossentropy", "binary_crossentropy", "mean_squared_error", "mean_absolute_error"] = Field(
        default="sparse_categorical_crossentropy", description="Keras name of what training minimizes; it also tells the kind of task"
    )
    from_logits: bool = Field(default=True, description="the model's outputs are logits, not probabilities")
    metrics: list[Metric] = Field(
        default=["accuracy"], min_length=1,
        description="Keras names; the first one decides. auc with target input: of the reconstruction error, see data.normal",
    )  # fmt: skip
    target: Literal["label", "input"] = Field(default="label", description="input: an autoencoder, trained to give its input back")

    @property
    def kind(self) -> Literal["classification", "multi_label", "regression", "autoencoder"]:
        """classification: one class per sample; multi_label: independent probabilities (one of them: binary)."""
        if self.target == "input":
            return "autoencoder"
        if self.loss == "sparse_categorical_crossentropy":
            return "classification"
        return "multi_label" if self.loss == "binary_crossentropy" else "regression"

    @model_validator(mode="after")
    def _metrics_fit(self) -> "Task":
        allowed = {
            "classification": {"accuracy", "top_5_accuracy", "sparse_categorical_crossentropy"},
            "multi_label": {"accuracy", "auc", "binary_crossentropy"},
            "regression": {"mean_squared_error", "mean_absolute_error"},
            "autoencoder": {"auc", "mean_squared_error", "mean_absolute_error"},
        }[self.kind]
        if bad := [metric for metric in self.metrics if metric not in allowed]:
            raise ValueError(f"metrics of a {self.kind} task must be among {', '.join(sorted(allowed))}. Received: {', '.join(bad)}")
        if self.kind == "autoencoder" and self.loss not in ("mean_squared_error", "mean_absolute_error"):
            raise ValueError(f"loss must be mean_squared_error or mean_absolute_error for target: input. Received: {self.loss}")
        return self
