"""Models of TF-MOT's pruning, without its wrappers: nothing but that pruning knows a layer in one."""

from __future__ import annotations

from edgecompress.backend import keras, model_optimization
from edgecompress.models.agreement import check_equal
from edgecompress.models.copying import copy_model

WRAPPER = "PruneLowMagnitude"


def unwrapped_proved(model: keras.Model) -> tuple[keras.Model, str | None]:
    """A copy of a pruned model without wrappers, and what was done in words; `model` itself and None where it has none.

    Args:
        model: a Functional or Sequential model; it is not changed.

    Raises:
        ModelError: the copy does not compute the same.
    """
    wrappers = [layer for layer in model._flatten_layers() if type(layer).__name__ == WRAPPER]
    if not wrappers:
        return model, None
    plain = copy_model(model_optimization().sparsity.keras.strip_pruning(model))
    difference = check_equal(model, plain, "removing pruning wrappers")
    return plain, f"pruning wrappers removed from {len(wrappers)} layers; largest difference {difference:.2g} on random inputs"
