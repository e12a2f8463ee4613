"""The report on the Edge TPU: the layer behind an operator, the compiler's log, and what a CPU says of a compiled file."""

import pytest

from edgecompress.cli import main
from edgecompress.device import DeviceFault
from edgecompress.device.runtime import TfliteModel
from edgecompress.export.edgetpu import judge, parse_log, warn
from edgecompress.recipe.load import make_section
from edgecompress.recipe.schema import Export

# Written by hand after the form that Coral documents for edgetpu_compiler -s.
LOG = """Edge TPU Compiler version 16.0.384591198
Input: model.tflite
Output: model_edgetpu.tflite

Model compiled successfully in 512 ms.

Input model: model.tflite
Input size: 3.27MiB
Output model: model_edgetpu.tflite
Output size: 3.46MiB
On-chip memory used for caching model parameters: 2.50MiB
On-chip memory remaining for caching model parameters: 4.19MiB
Off-chip memory used for streaming uncached model parameters: 64.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 3

Number of operations that will run on Edge TPU: 2
Number of operations that will run on CPU: 1

Operator                       Count      Status

CONV_2D                        2          Mapped to Edge TPU
ARG_MAX                        1          Operation not supported
"""


def test_the_log_is_read():
    assert parse_log(LOG) == {
        "compiler": "16.0.384591198", "num_mapped": 2, "num_on_cpu": 1, "on_chip_used_bytes": 2_621_440, "off_chip_used_bytes": 64,
        "operators": [["CONV_2D", 2, "Mapped to Edge TPU"], ["ARG_MAX", 1, "Operation not supported"]],
    }  # fmt: skip


def test_another_log_is_no_error():
    assert parse_log("ERROR: nothing")["num_mapped"] is None


def test_the_first_operator_left_comes_with_its_layer(data_folder):
    content = (data_folder / "tflite_coral" / "deeplabv3_mnv2_dm05_pascal_quant.tflite").read_bytes()
    first = judge(content, {})["left"][0]
    found = judge(content, {"resize": first["output_index"]})
    assert warn(found) == [
        "Edge TPU: RESIZE_BILINEAR of layer resize may stay on the CPU, with all that follows from it: it is left out where precision "
        "would be lost, which depends on the sizes; 64 of 72 operators map"
    ]
    assert warn(judge((data_folder / "tflite_coral" / "split_concat.tflite").read_bytes(), {})) == []


def test_a_cpu_says_what_a_compiled_file_needs(data_folder, capsys):
    path = data_folder / "tflite_coral" / "split_concat_edgetpu.tflite"
    with pytest.raises(DeviceFault, match="compiled for the Edge TPU, so it needs one, and its library libedgetpu"):
        TfliteModel(path.read_bytes())
    assert main(["inspect", str(path)]) == 0
    assert "compiled for the Edge TPU" in capsys.readouterr().out


@pytest.mark.parametrize("values", [{"format": "float32"}, {"format": "int8", "io": "float32"}])
def test_formats_that_it_cannot_take_are_refused(values):
    with pytest.raises(Exception, match="format must be int8, io int8 or uint8 for edgetpu"):
        make_section(Export, "export", {**values, "edgetpu": True})
