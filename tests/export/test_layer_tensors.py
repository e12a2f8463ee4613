"""The map from Keras layers to tensors of the file."""

import pytest

from edgecompress.backend import keras
from edgecompress.export.layer_tensors import layer_tensors
from edgecompress.tflite import parse

layers = keras.layers
EXPECTED = ["relu1", "relu2", "conv2", "hidden", "logits"]  # what the file computes; the rest is taken together with these


def nameless(content):
    """The file without the names of its tensors, as a shrink leaves it."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content)
    for tensor in model.subgraphs[0].tensors:
        tensor.name = b""
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def sizes(content, found):
    """Shape of each layer's tensor, without the batch."""
    tensors = parse(content).subgraphs[0].tensors
    return {layer: tensors[index].shape[1:] for layer, index in found.items()}


@pytest.mark.parametrize("format", ["float32", "int8", "dynamic"])
def test_last_layer_of_each_operator_has_its_tensor(trained, convert_as, format):
    conversion = convert_as(trained, format=format)
    assert [layer.name for layer in trained.layers if layer.name in conversion.tensors and layer.name != "flatten"] == EXPECTED
    shapes = sizes(conversion.content, conversion.tensors)
    assert (shapes["relu1"], shapes["relu2"], shapes["logits"]) == ((8, 8, 16), (4, 4, 16), (10,))


def test_quantize_aware_layers_are_known_without_their_prefix(quantize_aware, convert_as):
    conversion = convert_as(quantize_aware, format="int8", samples=None)
    assert set(EXPECTED) <= set(conversion.tensors)


@pytest.mark.parametrize("format", ["float32", "int8"])
def test_without_names_kernels_tell_the_same_tensors(trained, convert_as, format):
    conversion = convert_as(trained, format=format)
    found = layer_tensors(trained, parse(nameless(conversion.content)))
    assert {layer: found[layer] for layer in EXPECTED} == {layer: conversion.tensors[layer] for layer in EXPECTED}


def test_names_with_slashes_and_names_inside_names_are_told_apart(convert_as):
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(2, 3, activation="relu", name="block/conv")(inputs)
    x = layers.Conv2D(3, 3, activation="relu", name="block/conv/conv")(x)
    model = keras.Model(inputs, layers.Dense(2, name="conv")(layers.Flatten(name="flat")(x)))
    conversion = convert_as(model, format="float32")
    shapes = sizes(conversion.content, conversion.tensors)
    assert {name: shapes[name] for name in ("block/conv", "block/conv/conv", "conv")} == {
        "block/conv": (6, 6, 2), "block/conv/conv": (4, 4, 3), "conv": (2,),
    }  # fmt: skip


def test_layer_that_is_called_twice_has_no_one_tensor(convert_as):
    inputs = keras.Input((4,))
    shared = layers.Dense(4, activation="relu", name="shared")
    model = keras.Model(inputs, layers.Dense(2, name="end")(shared(shared(inputs))))
    assert set(convert_as(model, format="float32").tensors) == {"end"}
