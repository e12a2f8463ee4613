"""Rules that take a layer apart where 8 bits need a range between its parts."""

from typing import Any

from edgecompress.backend import keras
from edgecompress.techniques.quantize_aware.rewrite import Call, Graph, like

layers = keras.layers

FUSED_ACTIVATIONS = ("linear", "relu", "relu6")  # the runtime's convolutions apply them within their own operator
HARD_SIGMOID = (0.2, 0.5)  # of Keras 2: clip(0.2 x + 0.5, 0, 1)


def activation_name(layer: keras.layers.Layer) -> str:
    """Name of a layer's activation function; "" for an object that has none."""
    return getattr(layer.activation, "__name__", "")


def activation_apart(call: Call, graph: Graph) -> Any:
    """An activation that no operator fuses, as a layer after it."""
    if activation_name(call.layer) in FUSED_ACTIVATIONS:
        return None
    inputs = [graph.plain(tensor, rank) for tensor, rank in zip(call.inputs, call.ranks, strict=True)]
    linear = graph.put(like(call.layer, activation="linear"), *inputs, weights=call.weights)
    graph.note(f"{activation_name(call.layer)} apart")
    return graph.put(layers.Activation(call.layer.activation, name=graph.name("activation")), linear)


def separable_as_two(call: Call, graph: Graph) -> Any:
    """SeparableConv2D as the depthwise and the pointwise convolution that it consists of."""
    config, (depthwise, pointwise, *bias) = call.layer.get_config(), call.weights
    first = layers.DepthwiseConv2D(
        config["kernel_size"], strides=config["strides"], padding=config["padding"], depth_multiplier=config["depth_multiplier"],
        data_format=config["data_format"], dilation_rate=config["dilation_rate"], use_bias=False,
        depthwise_regularizer=config["depthwise_regularizer"], depthwise_constraint=config["depthwise_constraint"],
        trainable=config["trainable"], name=graph.name("depthwise"),
    )  # fmt: skip
    second = layers.Conv2D(
        config["filters"], 1, data_format=config["data_format"], use_bias=config["use_bias"], activation=config["activation"],
        kernel_regularizer=config["pointwise_regularizer"], bias_regularizer=config["bias_regularizer"],
        kernel_constraint=config["pointwise_constraint"], bias_constraint=config["bias_constraint"],
        trainable=config["trainable"], name=graph.name("pointwise"),
    )  # fmt: skip
    graph.note("as DepthwiseConv2D and Conv2D")
    graph.moved("depthwise_kernel", first.name, "depthwise_kernel", depthwise)
    graph.moved("pointwise_kernel", second.name, "kernel", pointwise)
    return graph.put(second, graph.put(first, *call.inputs, weights=[depthwise]), weights=[pointwise, *bias])


def relu_by_relu6(call: Call, graph: Graph) -> Any:
    """min(max(x, 0), m) as m/6 relu6(6/m x): the runtime has an 8-bit operator for a limit of 6 only."""
    config = call.layer.get_config()
    limit = config["max_value"]
    if limit in (None, 6) or limit <= 0 or config["negative_slope"] or config["threshold"]:
        return None
    graph.note("as ReLU6 between two scales")
    return _clip(graph, call.inputs[0], 6.0 / limit, 0.0, limit / 6.0, call.layer.name)


def hard_sigmoid_by_relu6(call: Call, graph: Graph) -> Any:
    """clip(0.2 x + 0.5, 0, 1) as relu6(1.2 x + 3) / 6."""
    if activation_name(call.layer) != "hard_sigmoid":
        return None
    graph.note("as ReLU6 between two scales")
    scale, offset = HARD_SIGMOID
    return _clip(graph, call.inputs[0], 6 * scale, 6 * offset, 1 / 6, call.layer.name)


def _clip(graph: Graph, tensor: Any, scale: float, offset: float, scale_after: float, name: str) -> Any:
    """scale_after * relu6(scale * tensor + offset)."""
    before = graph.put(layers.Rescaling(scale, offset, name=graph.name("scale")), tensor)
    clipped = graph.put(layers.ReLU(6.0, name=graph.name("clip")), before)
    return graph.put(layers.Rescaling(scale_after, name=name), clipped)


def average_as_sum(call: Call, graph: Graph) -> Any:
    """The average of n tensors as their sum times 1/n."""
    if not call.can_be_lifted:
        return None
    graph.note("as Add and a scale")
    total = graph.put(layers.Add(name=graph.name("sum")), *graph.in_one_form(call))
    return graph.put(layers.Rescaling(1.0 / len(call.inputs), name=call.layer.name), total)


def mean_over_all(call: Call, graph: Graph) -> Any:
    """A pool as large as its image as GlobalAveragePooling2D: the runtime's pool rounds to the scale of its input, its mean does not."""
    config, (tensor,) = call.layer.get_config(), call.inputs
    if config["data_format"] != "channels_last" or tuple(config["pool_size"]) != tuple(tensor.shape[1:3]) or config["padding"] != "valid":
        return None
    graph.note("as GlobalAveragePooling2D")
    return graph.put(layers.GlobalAveragePooling2D(keepdims=True, name=call.layer.name), tensor)


def two_at_a_time(call: Call, graph: Graph) -> Any:
    """a + b + c as (a + b) + c, so that each sum has a range; products and extremes likewise."""
    if len(call.inputs) < 3 or not call.can_be_lifted:
        return None
    graph.note("two inputs at a time")
    result, *others, last = graph.in_one_form(call)
    for index, tensor in enumerate(others, start=1):
        result = graph.put(like(call.layer, name=graph.name(str(index))), result, tensor)
    return graph.put(like(call.layer), result, last)
