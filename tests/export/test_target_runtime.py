"""Files for tflite-runtime 2.14, the last release: they load there and give the outputs that they give here."""

import sys

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.device import DeviceFault
from edgecompress.device.child import run_job
from edgecompress.errors import ConversionError

OLD = "tflite-runtime==2.14.0"


@pytest.fixture
def golden(tmp_path):
    """golden(content, inputs): path of the model, and of what the installed runtime gives for the inputs without XNNPACK."""

    def write(content, inputs):
        model, stored, golden = (str(tmp_path / name) for name in ("model.tflite", "inputs.npz", "golden.npz"))
        (tmp_path / "model.tflite").write_bytes(content)
        np.savez(stored, input_0=inputs)
        run_job({"job": "golden", "model": model, "inputs": stored, "output": golden, "kernels": ["builtin"]}, timeout_s=60)
        return model, golden

    return write


@pytest.fixture
def run_in_old(monkeypatch, old_python):
    """Runs a job in a process that has tflite-runtime 2.14 and no TensorFlow."""

    def run(**job):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", old_python)
            return run_job({**job, "kernels": "builtin"}, timeout_s=60)

    return run


@pytest.fixture(scope="module")
def upsampling():
    """A network whose transposed convolution has enough weights to be quantized by the format dynamic."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1), name="image")
    outputs = keras.layers.Conv2DTranspose(16, 3, name="up")(keras.layers.Conv2D(16, 3, name="conv")(inputs))
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize("format", ["float32", "float16", "dynamic", "int8", "int16x8"])
def test_a_file_made_for_it_loads_there_and_gives_the_same_outputs(trained, convert_as, digit_arrays, golden, run_in_old, format):
    model, expected = golden(convert_as(trained, format=format, runtime=OLD).content, digit_arrays[2][:20])
    assert run_in_old(job="probe", model=model)["runtime"] == "tflite-runtime"
    assert run_in_old(job="check", model=model, golden=expected)["mismatch"] is None


def test_chosen_layers_load_there_too(trained, convert_as, digit_arrays, golden, run_in_old):
    content = convert_as(trained, format="dynamic", only=["conv2", "hidden"], runtime=OLD).content
    model, expected = golden(content, digit_arrays[2][:20])
    assert run_in_old(job="check", model=model, golden=expected)["mismatch"] is None


def test_without_the_switch_it_refuses_the_file(trained, convert_as, run_in_old, tmp_path):
    (tmp_path / "m.tflite").write_bytes(convert_as(trained, format="dynamic").content)
    with pytest.raises(DeviceFault, match=r"Didn't find op for builtin opcode 'FULLY_CONNECTED' version '12'"):
        run_in_old(job="probe", model=str(tmp_path / "m.tflite"))


def test_what_no_switch_helps_is_named_and_does_not_run_there(upsampling, convert_as, run_in_old, tmp_path):
    with pytest.raises(
        ConversionError, match=r"Received: tflite-runtime==2\.14\.0, too old for TRANSPOSE_CONV version 2 \(since 2\.17\.0\)"
    ):
        convert_as(upsampling, format="dynamic", runtime=OLD)
    (tmp_path / "m.tflite").write_bytes(convert_as(upsampling, format="dynamic").content)
    with pytest.raises(DeviceFault, match="TRANSPOSE_CONV"):
        run_in_old(job="probe", model=str(tmp_path / "m.tflite"))
