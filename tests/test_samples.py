"""Samples of several inputs: what travels by name, and how a .tflite's inputs are told apart."""

import numpy as np
import pytest

from edgecompress.errors import ModelError
from edgecompress.samples import check_inputs, each, names_in_file, num_samples, ordered

SHAPES = {"image": (8, 8, 1), "weather": (4,), "other_weather": (4,)}


def test_one_value_and_values_by_name_are_handled_alike():
    assert each(lambda value, factor: value * factor, 3, 2) == 6
    assert each(lambda value, factor: value * factor, {"a": 3, "b": 4}, {"b": 10, "a": 2}) == {"a": 6, "b": 40}
    assert (num_samples(np.zeros((5, 2))), num_samples({"a": np.zeros((5, 2))})) == (5, 5)
    assert (ordered("x", ["anything"]), ordered({"a": 1, "b": 2}, ["b", "a"])) == (["x"], [2, 1])


@pytest.mark.parametrize(
    "tensors",
    [
        ["serving_default_weather:0", "serving_default_other_weather:0", "serving_default_image:0"],
        ["weather", "other_weather", "image"],
        ["infer_weather:0", "infer_other_weather:0", "infer_image:0"],
    ],
)
def test_inputs_of_a_file_are_known_by_the_names_that_converters_give(tensors):
    shapes = [(1, 4), (1, 4), (1, 8, 8, 1)]
    assert names_in_file(list(zip(tensors, shapes, strict=True)), SHAPES, "m") == ["weather", "other_weather", "image"]


def test_names_with_signs_are_known_as_the_converter_spells_them():
    assert names_in_file([("serving_default_x_y:0", (1, 4)), ("serving_default_z:0", (1, 4))], {"z": (4,), "x/y": (4,)}, "m") == [
        "x/y",
        "z",
    ]


def test_a_file_without_names_is_told_by_shapes_where_they_differ():
    shapes = {"image": (8, 8, 1), "weather": (4,)}
    assert names_in_file([("", (1, 4)), ("", (1, 8, 8, 1))], shapes, "m") == ["weather", "image"]
    with pytest.raises(ModelError, match=r"m: inputs must have the names or shapes of data\.inputs, a, b\. Received: '' \[4\], '' \[4\]\."):
        names_in_file([("", (1, 4)), ("", (1, 4))], {"a": (4,), "b": (4,)}, "m")
    with pytest.raises(ModelError, match=r"m: the model must have as many inputs as the data\. Received: 1 inputs for 2 arrays"):
        names_in_file([("", (1, 4))], {"a": (4,), "b": (4,)}, "m")


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
