"""Which runtime a file needs: the table against hand-picked facts and against the runtime that is installed."""

import copy
import importlib.util
import sys
from pathlib import Path

import pytest

from edgecompress.errors import RecipeError
from edgecompress.tflite import least_runtime_version, parse, refuses
from edgecompress.tflite.operator_forms import FORMS
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


@pytest.mark.parametrize(
    ("name", "version", "inputs", "since"),
    [
        ("TRANSPOSE_CONV", 2, [("INT32", None), ("INT8", [0.1, 0.2]), ("FLOAT32", None)], "2.17.0"),
        ("TRANSPOSE_CONV", 2, [("INT32", None), ("FLOAT32", None), ("FLOAT32", None)], None),
        ("FULLY_CONNECTED", 3, [("FLOAT32", None), ("INT8", [0.1, 0.2]), ("FLOAT32", None)], "2.17.0"),
        ("FULLY_CONNECTED", 3, [("FLOAT32", None), ("INT8", [0.1])], None),
        ("FULLY_CONNECTED", 4, [("INT8", [0.5]), ("INT8", [0.1, 0.2])], None),
        ("FULLY_CONNECTED", 1, [("FLOAT32", None), ("INT4", [0.1])], None),
        ("FULLY_CONNECTED", 1, [("FLOAT32", None), ("INT4", None)], "2.23.0"),  # block-wise
        ("FULLY_CONNECTED", 13, [("FLOAT32", None), ("INT4", None)], "2.23.0"),  # more than the version says, which is 2.18
        ("CONV_2D", 5, [("FLOAT32", None), ("INT4", [0.1, 0.2]), (None, None)], "2.19.0"),
        ("GELU", 2, [("INT16", [0.5])], "2.20.0"),
        ("GELU", 2, [("INT8", [0.5])], None),
        ("TILE", 3, [("INT16", [0.5]), ("INT32", None)], "2.23.0"),
        ("DEQUANTIZE", 1, [("INT4", [0.1])], "2.17.0"),
    ],
)
def test_a_form_that_old_runtimes_cannot_compute_needs_more_than_its_version_says(by_hand, name, version, inputs, since):
    tensors = [by_hand.tensor(f"x{index}", [2, 2], kind, scales=scales) for index, (kind, scales) in enumerate(inputs) if kind is not None]
    operators = [by_hand.operator(0, [index if kind is not None else -1 for index, (kind, _) in enumerate(inputs)], [0])]
    tflite = parse(by_hand.pack(by_hand.file([by_hand.code(name, version)], tensors, operators)))
    assert refuses(tflite, OLD) == ([f"{name} version {version} (since {since})"] if since else [])
    assert refuses(tflite, "ai-edge-litert==2.3.0") == []


def test_the_table_is_well_formed():
    assert all(form.operator in SINCE for form in FORMS)
    for name, releases in SINCE.items():
        for release in releases.split():
            assert release == "-" or all(part.isdigit() for part in release.split(".")), name


@pytest.fixture(scope="module")
def script():
    """The functions of scripts/read_operator_versions.py."""
    path = Path(__file__).parents[2] / "scripts" / "read_operator_versions.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_installed_runtime_loads_every_version_of_the_table(script):
    loaded = script.loaded_versions(sys.executable)
    missing = [pair for pair in script.asked_versions() if pair not in loaded and pair[1] <= len(SINCE[pair[0]].split())]
    assert [(name, version) for name, version in missing if SINCE[name].split()[version - 1] != "-"] == []


def test_the_table_says_of_tflite_runtime_214_what_it_loads(script, old_python):
    assert script.differences(OLD, script.loaded_versions(old_python)) == []
