"""Which layers of a model a technique works on, and why it does not on the others."""

from collections.abc import Callable, Sequence

from edgecompress.backend import keras
from edgecompress.errors import ModelError, RecipeError
from edgecompress.graph.selection import MAX_LISTED, select_layers
from edgecompress.stage import LayerRecord


def choose_layers(
    model: keras.Model, layers: Sequence[str], skip: Sequence[str], why_not: Callable[[keras.layers.Layer], str | None], takes: str
) -> tuple[list[keras.layers.Layer], list[LayerRecord]]:
    """The chosen layers that a technique takes, and a record for each other layer with weights.

    Args:
        model: Functional or Sequential, without models in it.
        layers: patterns; empty: every layer that the technique takes.
        skip: patterns of layers to leave alone.
        why_not: why the technique does not take a layer; None if it does.
        takes: what it takes, in words, such as "svd takes Dense".

    Raises:
        RecipeError: a pattern that matches no layer, or one of `layers` that matches none that the technique takes.
        ModelError: nothing is left to work on.
    """
    reasons = {layer.name: why_not(layer) for layer in model.layers}
    names = [(layer.name, type(layer).__name__) for layer in model.layers]
    for pattern in layers:
        matched = select_layers(names, [pattern], field="layers")
        if all(reasons[name] is not None for name in matched):
            found = "; ".join(f"{name}: {reasons[name]}" for name in matched[:MAX_LISTED])
            raise RecipeError(f"layers must match a layer that can be worked on: {takes}. Received: {pattern!r} ({found}).")
    wanted = set(select_layers(names, layers, field="layers")) if layers else set(reasons)
    spared = set(select_layers(names, skip, field="skip")) if skip else set()
    chosen, records = [], []
    for layer in model.layers:
        reason = "named in `skip`" if layer.name in spared else reasons[layer.name]
        if layer.name not in wanted:
            reason = "not named in `layers`"
        if reason is None:
            chosen.append(layer)
        elif layer.weights:
            records.append(LayerRecord(layer.name, type(layer).__name__, "skipped", reason))
    if not chosen:
        received = "; ".join(sorted({record.reason for record in records})) or "no layer with weights"
        raise ModelError(f"a layer must be left to work on: {takes}. Received: {received}.")
    return chosen, records


def chosen_names(model: keras.Model, layers: Sequence[str], skip: Sequence[str]) -> set[str]:
    """Names of the layers that may change; all of them where `layers` is empty.

    Raises:
        RecipeError: a pattern that matches no layer.
    """
    names = [(layer.name, type(layer).__name__) for layer in model.layers]
    chosen = set(select_layers(names, layers, field="layers")) if layers else {name for name, _ in names}
    return chosen - set(select_layers(names, skip, field="skip") if skip else ())


def free_name(model: keras.Model, wanted: str) -> str:
    """`wanted`, with as many underscores behind it as keep it apart from the layers of `model`."""
    taken = {layer.name for layer in model.layers}
    while wanted in taken:
        wanted += "_"
    return wanted
