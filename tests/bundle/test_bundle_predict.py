"""predict.py of a bundle: what it shows for a picture, and what it says where something is missing."""

import shutil
import subprocess
import sys

import numpy as np
import pytest


def on_board(folder, *arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=folder, timeout=120)


def test_prediction_of_a_picture_is_that_of_the_model(unpacked, tmp_path):
    from matplotlib import image
    from sklearn.datasets import load_digits

    pixels = load_digits().images[:5].astype(np.uint8)
    right = 0
    for number, one in enumerate(pixels):
        image.imsave(unpacked / "digit.png", one, cmap="gray", vmin=0, vmax=255)  # colour and alpha, as programs save grey
        finished = on_board(unpacked, "predict.py", "digit.png")
        assert finished.returncode == 0, finished.stderr
        lines = finished.stdout.splitlines()
        assert len(lines) == 5
        right += lines[0].split()[-1] == str(number)  # the first samples are 0, 1, 2, 3, 4
    assert right >= 4


def test_prediction_of_what_is_no_picture_is_one_line(unpacked):
    (unpacked / "digit.png").write_bytes(b"GIF89a")
    finished = on_board(unpacked, "predict.py", "digit.png")
    assert finished.returncode == 1
    assert "error: digit.png: must be a PNG file" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_prediction_of_a_model_of_several_inputs_is_refused_in_one_line(unpacked, data_folder):
    shutil.copy(data_folder / "tflite_dtln/model_quant_1.tflite", unpacked / "model.tflite")
    np.save(unpacked / "sample.npy", np.zeros((1, 1, 257), np.float32))
    finished = on_board(unpacked, "predict.py", "sample.npy")
    assert finished.returncode == 1
    assert "error: the model must have one input for this program. Received: 2 (" in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize("missing", [["numpy"], ["ai_edge_litert", "tflite_runtime", "tensorflow"]])
def test_prediction_without_numpy_or_runtime_names_the_command(unpacked, missing):
    code = f"import runpy, sys; sys.modules.update(dict.fromkeys({missing})); sys.argv[1:] = ['digit.png']; "
    finished = on_board(unpacked, "-c", f"{code}runpy.run_path('predict.py', run_name='__main__')")
    assert finished.returncode == 1
    assert "cannot be imported: " in finished.stderr
    assert "-m pip install ai-edge-litert numpy" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_prediction_where_there_is_tensorflow_alone(unpacked):
    """A package of that name whose Interpreter is the one that is there."""
    (unpacked / "tensorflow").mkdir()
    lines = ("from ai_edge_litert import interpreter", "class lite:", "    Interpreter = interpreter.Interpreter")
    (unpacked / "tensorflow/__init__.py").write_text("\n".join(lines) + "\n")
    np.save(unpacked / "sample.npy", np.zeros((1, 8, 8, 1), np.float32))
    hide = "import runpy, sys; sys.path.insert(0, '.'); import tensorflow; sys.argv[1:] = ['sample.npy']; "
    hide += "sys.modules.update(dict.fromkeys(['ai_edge_litert', 'ai_edge_litert.interpreter', 'tflite_runtime'])); "
    finished = on_board(unpacked, "-c", f"{hide}runpy.run_path('predict.py', run_name='__main__')")
    assert (finished.returncode, len(finished.stdout.splitlines())) == (0, 5), finished.stderr


def test_prediction_says_the_error_itself_where_nothing_is_missing(unpacked):
    code = "import runpy, sys; sys.modules['device.images'] = None; sys.argv[1:] = ['digit.png']; "
    finished = on_board(unpacked, "-c", f"{code}runpy.run_path('predict.py', run_name='__main__')")
    assert finished.returncode == 1
    assert "error: import of device.images halted" in finished.stderr


def test_prediction_without_the_program_beside_it_is_one_line(unpacked):
    (unpacked / "benchmark_device.pyz").unlink()
    finished = on_board(unpacked, "predict.py", "digit.png")
    assert finished.returncode == 1
    assert "error: benchmark_device.pyz must lie beside this program." in finished.stderr
    assert "Traceback" not in finished.stderr
