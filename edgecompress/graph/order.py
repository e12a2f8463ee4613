"""The order in which the calls of a Keras graph can be done."""

from collections.abc import Iterator
from typing import Any


def nodes_in_order(model: Any) -> Iterator[Any]:
    """The node of each call of a layer, after those that it depends on; input layers are none.

    Args:
        model: what holds a graph: a Functional or Sequential model of tf_keras, or Keras 3's Functional.
    """
    for depth in sorted(model._nodes_by_depth, reverse=True):
        yield from (node for node in model._nodes_by_depth[depth] if not node.is_input)
