"""Comparing two files: equal bits, differences in words, inputs of every kind."""

import numpy as np
import pytest

from edgecompress.device.child import run_job
from edgecompress.device.runtime import TensorSpec
from edgecompress.device.trials import trial_inputs


def compare(model, other, **options):
    return run_job({"job": "compare", "model": model, "other": other, "least": 6, "most": 8, **options}, timeout_s=60)


def test_a_file_equals_itself_under_both_families(tiny_file):
    path = tiny_file("double")
    for kernels in ("xnnpack", "builtin"):
        answer = compare(path, path, kernels=kernels)
        assert (answer["refused"], answer["mismatch"], answer["largest_difference"]) == (None, None, 0.0)
        assert answer["runs"] >= 6
        assert answer["operators_left"][0] == answer["operators_left"][1]


def test_another_function_is_a_mismatch_in_words(tiny_file):
    answer = compare(tiny_file("double"), tiny_file("identity", (1, 4), "float32"))
    assert answer["mismatch"].startswith("the main subgraph: output 0 differs by ")


def test_single_numbers_that_differ_are_a_mismatch_in_words(tiny_file):
    answer = compare(tiny_file("double", ()), tiny_file("identity", (), "float32"))
    assert answer["mismatch"].startswith("the main subgraph: output 0 differs by ")


def test_a_tolerance_lets_small_differences_pass(tiny_file):
    paths = tiny_file("dequantized", 0.5), tiny_file("dequantized", 0.5000001)
    assert compare(*paths)["mismatch"] is not None
    answer = compare(*paths, tolerance=1e-4)
    assert answer["mismatch"] is None
    assert 0 < answer["largest_difference"] < 1e-4


def test_a_first_file_that_is_none_is_refused_and_a_second_one_is_a_mismatch(tiny_file, tmp_path):
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(b"no model")
    assert compare(str(bad), tiny_file("double"))["refused"]
    assert compare(tiny_file("double"), str(bad))["mismatch"].startswith("the new file is refused: ")


def test_stored_inputs_come_first(tiny_file, tmp_path):
    np.savez(tmp_path / "inputs.npz", input_0=np.ones((5, 1, 4), np.float32))
    path = tiny_file("double")
    assert compare(path, path, inputs=str(tmp_path / "inputs.npz"))["runs"] >= 11


@pytest.mark.parametrize(
    ("dtype", "least", "greatest"), [("int8", -128, 127), ("uint8", 0, 255), ("int16", -32768, 32767), ("float32", -100, 100)]
)
def test_extremes_and_noise_fill_the_range(dtype, least, greatest):
    spec = TensorSpec("x", 0, (1, 6, 6, 3), dtype, 0.5 if dtype != "float32" else None, 7 if dtype != "float32" else None)
    values = [trial_inputs([spec], number)[0] for number in range(40)]
    assert all(value.dtype == dtype and value.shape == spec.shape for value in values)
    assert (values[1] == least).all()
    assert (values[2] == greatest).all()
    assert (values[3] == (7 if dtype != "float32" else 0)).all()
    assert set(np.unique(values[4]).tolist()) == {least, greatest}
    assert len({value.tobytes() for value in values}) > 35  # a plain area may be as good as an extreme
    assert trial_inputs([spec], 11)[0].tobytes() == values[11].tobytes()


def test_possible_indices_stay_small_and_large_inputs_are_quick():
    index, huge = TensorSpec("i", 0, (5,), "int32", None, None), TensorSpec("x", 1, (1, 2000, 2000, 1), "int8", None, None)
    values = trial_inputs([index, huge], 7)
    assert set(values[0].tolist()) <= {0, 1}
    assert values[1].shape == (1, 2000, 2000, 1)
