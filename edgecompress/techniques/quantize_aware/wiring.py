"""Which layer of a functional model feeds which, by name."""

from __future__ import annotations

from dataclasses import dataclass

from edgecompress.backend import keras
from edgecompress.graph.order import nodes_in_order


@dataclass(frozen=True)
class Wiring:
    """The layers of a model and what stands before and after each.

    Attributes:
        layers: in the model's order, producers before their readers.
        producers: for each layer, the layers whose outputs it reads, once for each use.
        readers: for each layer, the layers that read its output, once for each use; None: the model's end.
    """

    layers: dict[str, keras.layers.Layer]
    producers: dict[str, list[str]]
    readers: dict[str, list[str | None]]

    @classmethod
    def of(cls, model: keras.Model) -> Wiring:
        """Reads a functional model."""
        inputs = {name: model.get_layer(name) for name in model.input_names}
        wiring = cls(inputs, {name: [] for name in inputs}, {name: [] for name in inputs})
        for node in nodes_in_order(model):
            name = node.layer.name
            wiring.layers.setdefault(name, node.layer)
            wiring.readers.setdefault(name, [])
            before = [tensor._keras_history.layer.name for tensor in node.keras_inputs]
            wiring.producers.setdefault(name, []).extend(before)
            for producer in before:
                wiring.readers[producer].append(name)
        for tensor in model.outputs:
            wiring.readers[tensor._keras_history.layer.name].append(None)
        return wiring

    def only_reader(self, name: str) -> str | None:
        """The layer that alone reads another, in one use; None where there is none."""
        readers = self.readers[name]
        return readers[0] if len(readers) == 1 else None

    def only_producer(self, name: str) -> str | None:
        """The layer that alone feeds another; None where there are several."""
        producers = self.producers[name]
        return producers[0] if len(producers) == 1 else None
