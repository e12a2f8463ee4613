"""Samples of several inputs: what travels by name, and how a .tflite's inputs are told apart."""

from pathlib import Path

import numpy as np
import pytest

from edgecompress.errors import ModelError
from edgecompress.samples import check_inputs, each, names_in_file, num_samples, ordered
from edgecompress.tflite.model import Signature, Subgraph, Tensor, Tflite

SHAPES = {"image": (8, 8, 1), "weather": (4,), "other_weather": (4,)}


def test_one_value_and_values_by_name_are_handled_alike():
    assert each(lambda value, factor: value * factor, 3, 2) == 6
    assert each(lambda value, factor: value * factor, {"a": 3, "b": 4}, {"b": 10, "a": 2}) == {"a": 6, "b": 40}
    assert (num_samples(np.zeros((5, 2))), num_samples({"a": np.zeros((5, 2))})) == (5, 5)
    assert (ordered("x", ["anything"]), ordered({"a": 1, "b": 2}, ["b", "a"])) == (["x"], [2, 1])


@pytest.fixture
def order(monkeypatch):
    """`order([(name, shape), ...], samples, signature)`: names of the inputs of a file with such tensors."""

    def find(tensors, samples, signature=None):
        made = tuple(Tensor(name, (1, *shape), (), "float32", 0, None, False, False) for name, shape in tensors)
        graph = Subgraph("main", made, (), tuple(range(len(made))), ())
        signatures = () if signature is None else (Signature("serving_default", 0, signature, {}),)
        file = Tflite(3, "", (), (graph,), (), (), signatures)
        monkeypatch.setattr("edgecompress.samples.parse", lambda content, path: file)
        return names_in_file(Path(__file__), samples)

    return find


@pytest.mark.parametrize("pattern", ["serving_default_{}:0", "{}", "infer_{}:0"])
def test_inputs_of_a_file_are_known_by_the_names_that_converters_give(order, pattern):
    names = ["weather", "other_weather", "image"]
    assert order([(pattern.format(name), SHAPES[name]) for name in names], SHAPES) == names


def test_names_with_signs_are_known_as_the_converter_spells_them(order):
    shapes = {"z": (4,), "x/y": (4,)}
    assert order([("serving_default_x_y:0", (4,)), ("serving_default_z:0", (4,))], shapes) == ["x/y", "z"]


def test_a_signature_tells_what_tensors_named_after_their_quantizer_are(order):
    shapes = {"a": (4,), "b": (4,)}
    assert order([("model/quantize_layer;a", (4,)), ("model/quantize_layer_1;b", (4,))], shapes, {"b": 0, "a": 1}) == ["b", "a"]


def test_a_file_without_names_is_told_by_shapes_where_they_differ(order):
    assert order([("", (4,)), ("", (8, 8, 1))], {"image": (8, 8, 1), "weather": (4,)}) == ["weather", "image"]
    for tensors in ([("", (4,)), ("", (4,))], [("", (4,))], [("a", (4,)), ("b", (4,)), ("c", (4,))]):
        with pytest.raises(ModelError, match=r"inputs must have the names or shapes of data\.inputs, a, b\. Received: '\w?' \[4\]"):
            order(tensors, {"a": (4,), "b": (4,)})


def test_inputs_that_are_not_those_of_the_model_are_refused_by_name():
    check_inputs((4,), ["x"], [(4,)], "m")
    check_inputs((4, 3), ["x"], [(None, 3)], "m")
    check_inputs({"a": (4,), "b": (2,)}, ["b", "a"], [(2,), (4,)], "m")
    with pytest.raises(ModelError, match=r"m: data\.inputs must have the names of the model's inputs, a, b\. Received: a, c\."):
        check_inputs({"a": (4,), "c": (2,)}, ["a", "b"], [(4,), (2,)], "m")
    with pytest.raises(
        ModelError, match=r"m: samples must have the shape of the model's input b, \[3\]\. Received: \[2\]; see data\.preprocess"
    ):
        check_inputs({"a": (4,), "b": (2,)}, ["a", "b"], [(4,), (3,)], "m")
    with pytest.raises(
        ModelError, match=r"m: the model must have one input; .*data\.inputs must name the array of each\. Received: a, b\."
    ):
        check_inputs((4,), ["a", "b"], [(4,), (4,)], "m")
