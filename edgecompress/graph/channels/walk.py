"""The walk over a functional model: each call of a layer goes to the rule of its class, nested models are entered."""

from collections.abc import Sequence
from typing import Any

from edgecompress.backend import tf
from edgecompress.errors import ModelError
from edgecompress.graph.channels.operators import operator_rule
from edgecompress.graph.channels.rules import MAKERS, MERGERS, RULES
from edgecompress.graph.channels.trace import Call, Channels, Fixed, NotFollowed, Rule, Tensor, Trace
from edgecompress.graph.order import nodes_in_order


def trace_channels(model: Any) -> Trace:
    """Walks a model; its inputs and outputs are fixed.

    Raises:
        ModelError: a subclassed model, or one whose input shape is not known yet.
    """
    if not getattr(model, "_is_graph_network", False):
        raise ModelError(
            "model must be a Functional or Sequential model with a known input shape. "
            f"Received: {model.name!r} of class {type(model).__name__}."
        )
    trace = Trace()
    for tensor in _walk(trace, model, "", [Fixed("an input of the model")] * len(model.inputs)):
        trace.freeze(tensor, "an output of the model")
    trace.freeze_held()
    return trace


def _walk(trace: Trace, model: Any, prefix: str, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The model's outputs for these inputs. Called once per call of a nested model: its layers are shared layers then."""
    known: dict[int, Tensor] = {id(tensor): given for tensor, given in zip(model.inputs, inputs, strict=True)}
    for node in nodes_in_order(model):
        path = prefix + node.layer.name
        given = [known[id(tensor)] for tensor in node.keras_inputs]
        if _is_nested_model(node):
            _enter(trace, node.layer, path, given)
            outputs = _walk(trace, node.layer, f"{path}/", given)
        else:
            outputs = _follow(trace, _call(node, path, given, is_nested=bool(prefix)))
        known.update(zip(map(id, tf.nest.flatten(node.outputs)), outputs, strict=True))
    return [known[id(tensor)] for tensor in model.outputs]


def _is_nested_model(node: Any) -> bool:
    """A model that is called with its inputs in their order; called with a dictionary or more, it is a layer without a rule."""
    is_model = getattr(node.layer, "_is_graph_network", False)
    return is_model and not isinstance(node.call_args[0], dict) and len(node.keras_inputs) == len(node.layer.inputs)


def _enter(trace: Trace, model: Any, path: str, inputs: Sequence[Tensor]) -> None:
    """The input layers of a nested model state their shapes; at several calls they are the same ones."""
    for tensor, given in zip(model.inputs, inputs, strict=True):
        layer = f"{path}/{tensor._keras_history.layer.name}"
        if isinstance(given, Channels):
            trace.size(layer, "batch_input_shape", given.numbers, given.axis)
        else:
            trace.held[layer] = f"{path}: is also called on {given.reason}"


def _call(node: Any, path: str, given: Sequence[Tensor], is_nested: bool) -> Call:
    return Call(
        path=path,
        layer=node.layer,
        inputs=given,
        input_shapes=[tuple(tensor.shape) for tensor in node.keras_inputs],
        output_shapes=[tuple(tensor.shape) for tensor in tf.nest.flatten(node.outputs)],
        args=node.call_args,
        kwargs=node.call_kwargs,
        source=None if is_nested else node.keras_inputs[0],
    )


def _follow(trace: Trace, call: Call) -> list[Tensor]:
    """What a call gives, by its rule. Beyond a rule's reach, everything that the call reads and gives is fixed."""
    try:
        rule = _rule(call)
        if call.type in MAKERS:
            trace.reads_fixed(call)
        elif fixed := _all_fixed(call):
            trace.leave_alone(call, f"{call.path}: is also called on {fixed.reason}")
            return [fixed]
        return [rule(trace, call)]
    except NotFollowed as beyond:
        reason = f"{call.path}: {beyond}"
        trace.leave_alone(call, reason)
        return [Fixed(reason)] * len(call.output_shapes)


def _all_fixed(call: Call) -> Fixed | None:
    """The first input, if no input has channels that can be told apart."""
    fixed = [tensor for tensor in call.inputs if isinstance(tensor, Fixed)]
    return fixed[0] if len(fixed) == len(call.inputs) else None


def _rule(call: Call) -> Rule:
    """The rule of a layer or function."""
    if call.type == "TFOpLambda":
        return operator_rule(call)
    rule = RULES.get(call.type)
    if rule is None:
        raise NotFollowed(f"{call.type} is not followed")
    if call.type not in MERGERS and len(call.inputs) > 1:
        raise NotFollowed(f"{call.type} is called with several tensors")
    if len(tf.nest.flatten(call.args[0])) > len(call.inputs):
        raise NotFollowed(f"{call.type} is called with a constant")
    return rule
