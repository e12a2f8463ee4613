"""The diet: what is left out, what stays, and that appended files stay readable."""

import io
import zipfile

import numpy as np
import pytest

from edgecompress.tflite import parse
from edgecompress.tflite.shrink import DIET, Settings, apply_passes
from edgecompress.tflite.shrink.appended import find_appended, move_appended
from edgecompress.tflite.shrink.sameness import same_graph


@pytest.fixture
def padded(by_hand, dense_model):
    """The dense model with converter records, other metadata, an unused tensor, two equal buffers and an unused operator code."""
    from copy import deepcopy

    model = deepcopy(dense_model)
    by_hand.add_metadata(model, "min_runtime_version", b"1.5.0")
    by_hand.add_metadata(model, "TFLITE_METADATA", b"labels and more")
    model.subgraphs[0].tensors.append(by_hand.tensor("unused", [12], "INT8", buffer=len(model.buffers)))
    model.buffers.append(model.buffers[1])
    model.operatorCodes.insert(0, by_hand.code("ADD"))
    model.subgraphs[0].operators[0].opcodeIndex = 1
    return by_hand.pack(model)


def diet(content, **wanted):
    return apply_passes(content, DIET, Settings(**wanted))[0]


def test_what_nobody_reads_goes_and_the_graph_stays(padded):
    small = diet(padded)
    tflite = parse(small)
    assert len(small) < len(padded)
    assert same_graph(padded, small)
    assert [tensor.name for tensor in tflite.subgraphs[0].tensors] == ["input", "", "", "output"]
    assert ([name for name, _ in tflite.metadata], tflite.description) == (["TFLITE_METADATA"], "")
    assert ([code.name for code in tflite.operator_codes], len(tflite.buffers)) == (["FULLY_CONNECTED"], 4)


def test_a_graph_that_its_maker_may_know_by_number_keeps_its_numbers(by_hand, dense_model):
    from copy import deepcopy

    model = deepcopy(dense_model)
    model.subgraphs[0].tensors.append(by_hand.tensor("unused", [12], "INT8"))
    by_hand.add_metadata(model, "somebody's own", b"tensor 4")
    assert len(parse(diet(by_hand.pack(model))).subgraphs[0].tensors) == 5


def test_the_old_list_of_metadata_buffers_may_name_buffers_that_are_not_there(by_hand, dense_model):
    from copy import deepcopy

    model = deepcopy(dense_model)
    model.metadataBuffer = [1, 99, -3]  # no runtime reads it
    content = by_hand.pack(model)
    assert same_graph(content, diet(content))


def test_every_real_file_has_the_same_graph_after_the_diet(model_contents):
    for path, content in model_contents.items():
        assert same_graph(content, diet(content)), path


@pytest.mark.parametrize("change", [
    lambda graph: graph.operators[0].__setattr__("inputs", [0, 1, -1]), lambda graph: graph.tensors[0].__setattr__("shape", [2, 4]),
    lambda graph: graph.tensors[3].quantization.__setattr__("scale", np.float32([0.3])), lambda graph: graph.operators.pop(),
])  # fmt: skip
def test_another_graph_is_not_the_same(by_hand, dense_model, change):
    from copy import deepcopy

    model = deepcopy(dense_model)
    change(model.subgraphs[0])
    assert not same_graph(by_hand.pack(dense_model), by_hand.pack(model))


def zipped(prefix, *, relative):
    """A zip of two files behind `prefix`, its offsets from the start of the file or of the zip."""
    buffer = io.BytesIO(b"" if relative else prefix)
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("labels.txt", "cat\ndog\n")
        archive.writestr("vocabulary.txt", "words " * 50, zipfile.ZIP_DEFLATED)
    return prefix + buffer.getvalue() if relative else buffer.getvalue()


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("new_start", [10, 500])
def test_an_appended_zip_is_whole_behind_another_length(relative, new_start):
    content = zipped(bytes(100), relative=relative)
    assert find_appended(content) == 100
    moved = bytes(new_start) + move_appended(content, new_start)
    with zipfile.ZipFile(io.BytesIO(moved)) as archive:
        assert archive.testzip() is None
        assert archive.read("labels.txt") == b"cat\ndog\n"
    assert find_appended(moved) == new_start


@pytest.mark.parametrize("content", [b"", b"PK\5\6", bytes(50), b"PK\5\6" + b"\xff" * 30])
def test_what_is_no_zip_is_not_appended(content):
    assert find_appended(content) is None
    assert move_appended(content, 0) == b""
