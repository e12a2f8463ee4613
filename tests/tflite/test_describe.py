"""The artifact section of the report."""

import copy
import gzip
import hashlib

import pytest

from edgecompress.errors import ModelError
from edgecompress.report.artifact_schema import Artifact
from edgecompress.tflite import describe
from edgecompress.tflite.pack import pack
from edgecompress.tflite.unpack import unpack


def test_a_small_file_is_described_by_hand(dense_file):
    described = describe(dense_file)
    assert described["bytes"] == len(dense_file)
    assert described["sha256"] == hashlib.sha256(dense_file).hexdigest()
    assert len(gzip.compress(dense_file)) - 20 <= described["gzip_bytes"] <= len(gzip.compress(dense_file)) + 20  # headers differ
    assert described["bytes_by_type"] == {"int32": 12, "int8": 12, "other": len(dense_file) - 24}
    assert (described["ops"], described["op_versions"]) == ({"FULLY_CONNECTED": 1}, {"FULLY_CONNECTED": 4})
    assert described["min_runtime_version"] == "1.14.0"
    assert described["inputs"] == [{"name": "input", "shape": [1, 4], "dtype": "int8", "scale": 0.5, "zero_point": 0}]
    assert described["outputs"] == [{"name": "output", "shape": [1, 3], "dtype": "int8", "scale": 0.25, "zero_point": 0}]
    assert described["arena_bytes"] == 32  # 4 bytes in and 3 bytes out, each on a line of 16


def test_the_keys_are_those_of_the_report(dense_file):
    ours = {"path": "model.tflite", "format": "int8", "baseline_bytes": 1, "plain_bytes": 1, "ratio": 1.0, "shrink": None, "edgetpu": None}
    assert set(Artifact.model_validate({**describe(dense_file), **ours}).model_dump()) == {*describe(dense_file), *ours}


def test_a_shared_buffer_counts_once(by_hand, dense_model):
    model = copy.deepcopy(dense_model)
    model.subgraphs[0].tensors.append(by_hand.tensor("again", [3, 4], "INT8", buffer=1))
    assert describe(by_hand.pack(model))["bytes_by_type"]["int8"] == 12


def test_equal_buffers_that_are_stored_once_count_once(by_hand, dense_model):
    model = copy.deepcopy(dense_model)
    model.buffers.append(copy.deepcopy(model.buffers[1]))
    model.subgraphs[0].tensors.append(by_hand.tensor("again", [3, 4], "INT8", buffer=len(model.buffers) - 1))
    content = pack(unpack(by_hand.pack(model)))
    found = describe(content)["bytes_by_type"]
    assert found["int8"] == 12
    assert found == describe(pack(unpack(by_hand.pack(dense_model))))["bytes_by_type"] | {"other": found["other"]}


def test_the_newest_version_of_an_operator_is_shown(by_hand, dense_model):
    model = copy.deepcopy(dense_model)
    model.operatorCodes.append(by_hand.code("FULLY_CONNECTED", 9))
    model.subgraphs[0].operators.append(by_hand.operator(1, [0, 1, 2], [3]))
    described = describe(by_hand.pack(model))
    assert (described["ops"], described["op_versions"]) == ({"FULLY_CONNECTED": 2}, {"FULLY_CONNECTED": 9})


def test_an_operator_code_that_nothing_runs_does_not_count(by_hand, dense_model):
    model = copy.deepcopy(dense_model)
    model.operatorCodes.append(by_hand.code("DEQUANTIZE", 5))
    described = describe(by_hand.pack(model))
    assert (described["ops"], described["min_runtime_version"]) == ({"FULLY_CONNECTED": 1}, "1.14.0")


def test_a_damaged_file_is_a_model_error(dense_file):
    with pytest.raises(ModelError, match="truncated or damaged"):
        describe(dense_file[:-200])
