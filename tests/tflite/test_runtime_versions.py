"""Which runtime a file needs: the table against hand-picked facts and against the runtime that is installed."""

import copy

import pytest
from ai_edge_litert.interpreter import Interpreter

from edgecompress.errors import RecipeError
from edgecompress.tflite import least_runtime_version, parse, refuses
from edgecompress.tflite.operator_versions import NEWEST_RELEASE, SINCE

OLD = "tflite-runtime==2.14.0"


@pytest.fixture
def file_with(by_hand, dense_model):
    """A file whose one operator is of another kind."""

    def make(name: str, version: int, custom: str | None = None, recorded: bytes | None = None):
        model = copy.deepcopy(dense_model)
        model.operatorCodes = [by_hand.code(name, version, custom)]
        if recorded is not None:
            by_hand.add_metadata(model, "min_runtime_version", recorded)
        return parse(by_hand.pack(model))

    return make


def test_tensorflow_221s_dynamic_fully_connected_is_too_new_for_tflite_runtime_214(file_with):
    assert refuses(file_with("FULLY_CONNECTED", 12), OLD) == ["FULLY_CONNECTED version 12 (since 2.17.0)"]
    assert refuses(file_with("FULLY_CONNECTED", 9), OLD) == []


@pytest.mark.parametrize("runtime", ["ai-edge-litert==1.0.1", "ai-edge-litert==2.3.0", "ai-edge-litert==9.0", "tensorflow==2.17.0"])
def test_newer_runtimes_take_it(file_with, runtime):
    assert refuses(file_with("FULLY_CONNECTED", 12), runtime) == []


def test_litert_releases_count_as_the_measured_tensorflow(file_with):
    assert refuses(file_with("PAD", 5), "ai-edge-litert==1.4.0") == ["PAD version 5 (since 2.20.0)"]
    assert refuses(file_with("PAD", 5), "ai-edge-litert==2.0.2") == []


@pytest.mark.parametrize("runtime", ["onnxruntime==1.0.0", "tflite-runtime", "tflite-runtime>=2.14", "ai-edge-litert==two", ""])
def test_another_form_of_runtime_is_a_recipe_error(file_with, runtime):
    with pytest.raises(RecipeError, match=r"^target\.runtime must be ai-edge-litert, .* Received: "):
        refuses(file_with("ADD", 1), runtime)


def test_a_version_beyond_the_table_is_unknown_and_refused_by_runtimes_of_the_table(file_with):
    tflite = file_with("FULLY_CONNECTED", 15)
    assert str(least_runtime_version(tflite)) == "unknown, at least 1.5.0 (FULLY_CONNECTED version 15)"
    assert refuses(tflite, OLD) == [f"FULLY_CONNECTED version 15 (not known up to {NEWEST_RELEASE})"]
    assert refuses(tflite, "ai-edge-litert==2.3.0") == []  # as new as the table: it may well know it


def test_a_custom_operator_is_unknown_and_never_refused(file_with):
    tflite = file_with("CUSTOM", 1, custom="Sinh")
    assert least_runtime_version(tflite).unknown == ("CUSTOM:Sinh version 1",)
    assert refuses(tflite, OLD) == []


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        (b"2.11.0" + b"\0" * 10, "2.11.0"),  # newer than what the operators need
        (b"1.9.0" + b"\0" * 11, "1.14.0"),  # older, as in files that were quantized after conversion
        (b"\xff\xfe nonsense", "1.14.0"),
        (b"9" * 40, "1.14.0"),
        (b"\0" * 16, "1.14.0"),
    ],
)
def test_the_recorded_version_counts_where_it_is_newer(file_with, recorded, expected):
    assert least_runtime_version(file_with("FULLY_CONNECTED", 4, recorded=recorded)).version == expected


def test_a_transposed_convolution_with_int8_weights_and_float_activations_needs_more_than_its_version_says(by_hand):
    def file(weights: str):
        tensors = [
            by_hand.tensor("shape", [4], "INT32"),
            by_hand.tensor("weights", [2, 3, 3, 4], weights),
            by_hand.tensor("x", [1, 5, 5, 4]),
            by_hand.tensor("y", [1, 10, 10, 2]),
        ]
        codes, operators = [by_hand.code("TRANSPOSE_CONV", 2)], [by_hand.operator(0, [0, 1, 2], [3])]
        return parse(by_hand.pack(by_hand.file(codes, tensors, operators, inputs=[2], outputs=[3])))

    assert refuses(file("INT8"), OLD) == ["TRANSPOSE_CONV version 2 (since 2.17.0)"]
    assert refuses(file("FLOAT32"), OLD) == []


def test_the_table_is_well_formed():
    for name, releases in SINCE.items():
        for release in releases.split():
            assert release == "-" or all(part.isdigit() for part in release.split(".")), name


def test_the_installed_runtime_loads_every_version_of_the_table(by_hand):
    """A file that lists an operator code and runs nothing: loading asks the runtime for that version."""
    refused = []
    for name, releases in SINCE.items():
        for version, release in enumerate(releases.split(), start=1):
            model = by_hand.file([by_hand.code(name, version)], [by_hand.tensor("x", [1])], [])
            try:
                Interpreter(model_content=by_hand.pack(model))
            except ValueError as error:
                if "Didn't find op" in str(error):
                    refused.append((name, version, release))
    assert [entry for entry in refused if entry[2] != "-"] == []
