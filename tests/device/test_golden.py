"""Golden files: what is stored, what may differ, what is said about a difference."""

import math
import os
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgecompress.device import DeviceFault
from edgecompress.device.child import run_job
from edgecompress.device.golden import (
    describe_agreement,
    find_mismatch,
    largest_difference,
    model_inputs,
    read_arrays,
    read_first_inputs,
    run_samples,
    tolerance,
    write_arrays,
)
from edgecompress.device.runtime import TensorSpec, TfliteModel
from edgecompress.device.table import describe_closer

FLOAT = TensorSpec("y", 0, (1,), "float32", None, None)
INT8 = TensorSpec("y", 0, (1,), "int8", 0.5, 0)
INDEX = TensorSpec("y", 0, (1,), "int64", None, None)
NUMBERS = st.one_of(st.floats(width=32), st.sampled_from([np.nan, np.inf, -np.inf]))


def test_tolerance_is_one_step_exact_or_a_ten_thousandth():
    assert tolerance(np.int8([[5]]), INT8, 0.5) == 1
    assert tolerance(np.int64([[5]]), INDEX, None) == 0
    assert tolerance(np.float32([[0.5]]), FLOAT, None) == 1e-4
    assert tolerance(np.float32([[-300.0, np.inf]]), FLOAT, None) == pytest.approx(0.03)
    assert tolerance(np.float32([[0.5]]), FLOAT, 0.25) == pytest.approx(0.25, rel=2e-3)


@given(arrays.arrays(np.float32, (3, 4), elements=NUMBERS), arrays.arrays(np.float32, (3, 4), elements=NUMBERS))
def test_largest_difference_agrees_with_brute_force(expected, received):
    def difference(a, b):
        if a == b or (math.isnan(a) and math.isnan(b)):
            return 0.0
        return math.inf if math.isnan(a) or math.isnan(b) else abs(a - b)

    pairs = [(difference(float(expected[i, j]), float(received[i, j])), i) for i in range(3) for j in range(4)]
    value, sample = largest_difference(expected, received)
    assert value == max(pair[0] for pair in pairs)
    assert value == max(pair[0] for pair in pairs if pair[1] == sample)
    assert largest_difference(expected, expected) == (0.0, 0)


def test_unlike_shapes_and_wrapping_types_differ():
    assert largest_difference(np.zeros((2, 3)), np.zeros((2, 4)))[0] == math.inf
    assert largest_difference(np.int8([[-128]]), np.int8([[127]])) == (255.0, 0)
    assert largest_difference(np.array([[True], [False]]), np.array([[True], [True]])) == (1.0, 1)


def test_files_hold_their_arrays_and_depend_on_nothing_else(tmp_path):
    content = {
        "input_0": np.arange(6, dtype=np.int8).reshape(2, 3),
        "xnnpack_0": np.float32([[1.5], [np.nan]]),
        "tolerance_0": np.float64(1),
    }
    first, second = tmp_path / "first.npz", tmp_path / "second.npz"
    write_arrays(str(first), content)
    os.utime(first, (0, 0))
    write_arrays(str(second), dict(reversed(content.items())))
    assert first.read_bytes() == second.read_bytes()
    for read in (read_arrays(str(first)), dict(np.load(first))):
        assert {name: (value.dtype, value.tolist()) for name, value in read.items() if name != "xnnpack_0"} == {
            name: (value.dtype, value.tolist()) for name, value in content.items() if name != "xnnpack_0"
        }
        np.testing.assert_array_equal(read["xnnpack_0"], content["xnnpack_0"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.npz", "second.npz"]


def test_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        write_arrays(str(tmp_path / "x.npz"), {"a": np.array([object()])})
    assert list(tmp_path.iterdir()) == []


def test_first_inputs_are_the_first_rows(tmp_path):
    path = str(tmp_path / "x.npz")
    content = {"input_0": np.arange(24, dtype=np.float32).reshape(4, 2, 3), "input_1": np.int8([[7], [8]]), "builtin_0": np.zeros(3)}
    for write in (write_arrays, lambda path, content: np.savez(path, **content)):
        write(path, content)
        first = read_first_inputs(path)
        assert sorted(first) == ["input_0", "input_1"]
        for name, value in first.items():
            np.testing.assert_array_equal(value, content[name][:1])


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "truncated", "pickled", "npy"])
def test_broken_files_are_named(tmp_path, damage):
    path = tmp_path / "golden.npz"
    write_arrays(str(path), {"input_0": np.zeros((9, 9))})
    if damage == "missing":
        path.unlink()
    elif damage == "pickled":
        np.savez(path, input_0=np.array([{"a": 1}]))
    elif damage == "npy":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        path.write_bytes({"empty": b"", "text": b"no zip", "truncated": path.read_bytes()[:-30]}[damage])
    for read in (read_arrays, read_first_inputs):
        with pytest.raises(DeviceFault, match=rf"{path}: the file must be an \.npz of plain arrays: "):
            read(str(path))


def test_inputs_are_fitted_to_the_model(tiny):
    model = TfliteModel(tiny("double", (1, 4), "int8", 0.5, 10))
    raw = np.arange(8, dtype=np.int8).reshape(2, 1, 4)
    np.testing.assert_array_equal(model_inputs(model, {"input_0": raw})[0], raw)
    np.testing.assert_array_equal(model_inputs(model, {"input_0": raw[:, 0]})[0], raw)  # without the batch dimension
    np.testing.assert_array_equal(model_inputs(model, {"input_0": np.float32([[0, 0.5, 1, -1]])})[0], [[[10, 11, 12, 8]]])


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({}, r"the inputs must hold input_0 for 'x'\. Received: \[\]"),
        ({"input_0": np.zeros((2, 5), np.int8)}, r"input 'x' must be samples of shape \(1, 4\)\. Received: an array of shape \(2, 5\)"),
        ({"input_0": np.zeros((0, 4), np.int8)}, "must be samples of shape"),
        ({"input_0": np.zeros((2, 4), np.int32)}, r"input 'x' must be int8 or float32\. Received: int32"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(tiny, stored, message):
    with pytest.raises(DeviceFault, match=message):
        model_inputs(TfliteModel(tiny("double", (1, 4), "int8", 0.5, 10)), stored)


def test_different_numbers_of_samples_are_refused(tiny):
    model = TfliteModel(tiny("identity", (1, 3), "float32", "int8"))
    with pytest.raises(DeviceFault, match=r"one number of samples\. Received: \[2, 4\]"):
        model_inputs(model, {"input_0": np.zeros((2, 3), np.float32), "input_1": np.zeros((4, 3), np.int8)})


def write_inputs(tmp_path, *inputs):
    path = str(tmp_path / "inputs.npz")
    write_arrays(path, {f"input_{position}": values for position, values in enumerate(inputs)})
    return path


def test_golden_job_stores_both_families_and_check_accepts_them(tiny_file, tmp_path):
    model, golden = tiny_file("identity", (1, 3), "float32", "int8", "bool"), str(tmp_path / "golden.npz")
    inputs = np.float32([[1, 2, 3], [4, 5, 6]]), np.int8([[1, 2, 3], [-4, 5, 6]]), np.array([[True, False, True]] * 2)
    job = {"job": "golden", "model": model, "inputs": write_inputs(tmp_path, *inputs), "output": golden}
    progress = []
    assert run_job(job, timeout_s=60, on_progress=progress.append) == {"kernels": ["xnnpack", "builtin"], "refused": {}}
    assert progress == [{"family": "xnnpack"}, {"family": "builtin"}]
    content = read_arrays(golden)
    for family in ("xnnpack", "builtin"):
        np.testing.assert_array_equal(content[f"{family}_1"], inputs[1][:, None])
        np.testing.assert_array_equal(content[f"{family}_2"], ~inputs[2][:, None])
    assert [float(content[f"tolerance_{position}"]) for position in range(3)] == [pytest.approx(6e-4), 1.0, 0.0]
    assert run_job({"job": "check", "model": model, "golden": golden}, timeout_s=60) == {
        "mismatch": None, "samples": 2, "kernels": "xnnpack", "largest_difference": 0.0,
        "across": {"kernels": "builtin", "equal": True, "snr_db": None, "agreement": 1.0},
    }  # fmt: skip


def test_one_step_passes_and_two_steps_are_told_with_output_sample_and_size(tiny):
    model = TfliteModel(tiny("double", (1, 2), "int8", 0.5))
    golden = {"input_0": np.int8([[1, 2], [3, 4], [5, 6]]), "tolerance_0": np.float64(1)}
    golden["builtin_0"] = golden["xnnpack_0"] = np.int8([[[3, 4]], [[6, 9]], [[10, 11]]])
    assert find_mismatch(model, golden) is None
    golden["builtin_0"][1, 0, 0] = golden["xnnpack_0"][1, 0, 0] = 8
    words = f"golden outputs differ with the {model.kernels} kernels: output 0 is off by 2 in sample 1, at most 1 is allowed"
    assert find_mismatch(model, golden) == words


def test_agreement_across_families_by_hand(tiny):
    model = TfliteModel(tiny("double", (1, 2), "int8", 0.5), kernels="builtin")
    inputs = np.int8([[1, 2], [3, 4]])
    golden = {"input_0": inputs, "tolerance_0": np.float64(1), "builtin_0": np.int8([[[2, 4]], [[6, 9]]])}
    golden["xnnpack_0"] = np.int8([[[2, 4]], [[9, 8]]])
    found = describe_agreement(model, golden, run_samples(model, model_inputs(model, golden)))
    assert (found["samples"], found["kernels"], found["largest_difference"]) == (
        2,
        "builtin",
        1.0,
    )  # 8 and 9: one step, all that is allowed
    # Real values of xnnpack: 1, 2, 4.5, 4; the errors against 1, 2, 3, 4: one of 1.5.
    assert found["across"]["snr_db"] == pytest.approx(10 * math.log10((1 + 4 + 4.5**2 + 16) / 1.5**2))
    assert found["across"]["agreement"] == 0.5
    del golden["xnnpack_0"]
    assert describe_agreement(model, golden, run_samples(model, [inputs[:, None]]))["across"] is None


def test_golden_file_without_the_family_in_use_is_refused(tiny):
    model = TfliteModel(tiny("double"), kernels="builtin")
    with pytest.raises(DeviceFault, match=r"the golden file must hold builtin_0 and tolerance_0\. Received: \['input_0', 'xnnpack_0'\]"):
        find_mismatch(model, {"input_0": np.zeros((1, 4), np.float32), "xnnpack_0": np.zeros((1, 1, 4), np.float32)})


def test_families_really_differ_on_a_real_int8_model_and_are_kept_apart(data_folder, tmp_path):
    model = data_folder / "mlperf_tiny/kws/kws_ref_model.tflite"
    x = np.random.default_rng(0).integers(-128, 127, (4, 49, 10, 1)).astype(np.int8)
    golden = str(tmp_path / "golden.npz")
    run_job({"job": "golden", "model": str(model), "inputs": write_inputs(tmp_path, x), "output": golden}, timeout_s=60)
    content = read_arrays(golden)
    for kernels in ("xnnpack", "builtin"):
        assert find_mismatch(TfliteModel(model, kernels=kernels), content) is None


@pytest.mark.parametrize(("num_left", "agrees"), [(3, True), (0, False)])
def test_partly_delegated_model_may_agree_with_the_other_family(num_left, agrees):
    """tflite-runtime 2.14 hands the float operators of a dynamic-range model to XNNPACK, and those alone."""
    model = SimpleNamespace(kernels="xnnpack", count_left=lambda: num_left, outputs=[FLOAT])
    golden = {"tolerance_0": np.float64(1e-4), "xnnpack_0": np.float32([[1.03]]), "builtin_0": np.float32([[1.0]])}
    received = [np.float32([[1.00005]])]
    mismatch = find_mismatch(model, golden, received)
    if not agrees:
        assert "differ with the xnnpack kernels: output 0 is off by 0.02995" in mismatch
        return
    assert mismatch is None
    found = describe_agreement(model, golden, received)
    assert found["kernels"] == "builtin"  # with which it agrees
    assert found["largest_difference"] == pytest.approx(0.5, rel=1e-2)
    assert found["across"]["kernels"] == "xnnpack"
    received[0] += 1
    assert "differ with the xnnpack kernels" in find_mismatch(model, golden, received)
    del golden["builtin_0"]
    assert "differ with the xnnpack kernels" in find_mismatch(model, golden, received)


@pytest.mark.parametrize(
    ("other", "words"), [(np.nan, "no SNR, for want of a signal"), (0.0, "no SNR, for want of a signal"), (2.0, "bit for bit")]
)
def test_bit_for_bit_is_said_of_equal_outputs_alone(other, words):
    model = SimpleNamespace(kernels="builtin", count_left=lambda: 0, outputs=[FLOAT])
    golden = {"tolerance_0": np.float64(1e-4), "builtin_0": np.float32([[2.0]]), "xnnpack_0": np.float32([[other]])}
    found = describe_agreement(model, golden, [np.float32([[2.0]])])
    assert found["across"]["snr_db"] is None
    (sentence,) = describe_closer({"model": "final", "golden": found})
    assert sentence.endswith(f"against the xnnpack kernels: {words}")
