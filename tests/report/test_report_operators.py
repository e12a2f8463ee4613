"""The layer lens of the report: what is shown of operators that were timed."""

from edgecompress.report.operators import operators_block
from edgecompress.report.schema import Report

OPERATORS = [
    {"index": 0, "operator": "CONV_2D", "layer": "conv2d", "output": [1, 28, 28, 32], "weight_bytes": 320, "macs": 225_792},
    {"index": 1, "operator": "RESHAPE", "layer": "dense", "output": [1, 100], "weight_bytes": 8, "macs": 0},
    {"index": 2, "operator": "FULLY_CONNECTED", "layer": "dense", "output": [1, 10], "weight_bytes": 1000, "macs": 1000},
    {"index": 3, "operator": "SOFTMAX", "layer": None, "output": [1, 10], "weight_bytes": 0, "macs": 0},
]


def timed(*milliseconds):
    return [{"index": index, "p50_ms": value, "kernels": "xnnpack", "error": None} for index, value in enumerate(milliseconds)]


def test_operators_and_layers_stand_beside_their_times(values):
    values["operators"] = OPERATORS
    values["benchmark"][2]["operators"] = {"threads": 1, "whole_ms": 1.5, "sum_ms": 2.0, "timed": timed(1.0, 0.25, 0.5, 0.25)}
    block = operators_block(Report.model_validate(values))
    assert (
        "4 operators, each timed alone as a one-operator model, take 2.0000 ms together, the whole model 1.5000 ms (1.33 times)."
        in (block.paragraphs[1])
    )
    layers, operators = block.tables
    found = {row[0].text: [cell.text for cell in row] for row in layers.rows}
    assert list(found) == ["conv2d", "dense"]
    assert found["dense"][1] == "RESHAPE, FULLY_CONNECTED"
    assert found["dense"][3:] == ["1,008", "0.7500", "37.5 %"]
    assert [row[-1].text for row in operators.rows] == ["50.0 %", "12.5 %", "25.0 %", "12.5 %"]


def test_operator_that_was_not_timed_has_a_dash(values):
    values["operators"] = OPERATORS
    values["benchmark"][2]["operators"] = {"threads": 1, "whole_ms": None, "sum_ms": 1.0, "timed": timed(1.0, None, None, None)}
    block = operators_block(Report.model_validate(values))
    assert block.paragraphs[1].endswith("; 3 could not be timed.")
    assert [row[-2].text for row in block.tables[1].rows] == ["1.000", "-", "-", "-"]
