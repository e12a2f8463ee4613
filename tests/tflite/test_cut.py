"""Operators as files of their own compute what they computed in the whole file."""

import numpy as np
import pytest

from edgecompress.device.runtime import TfliteModel
from edgecompress.device.trials import trial_inputs
from edgecompress.errors import ModelError
from edgecompress.tflite import list_operators, parse
from edgecompress.tflite.cut import cut_operators
from edgecompress.tflite.kernel_writing import IntegerKernel, write_kernels
from edgecompress.tflite.weights import read_constant, weighted_operators


def converted(model, name, **options):
    from edgecompress.export import convert
    from edgecompress.progress import Progress
    from edgecompress.recipe.schema import Export

    samples = np.random.default_rng(0).uniform(0, 1, (8, 8, 8, 1)).astype(np.float32)
    return convert(model, Export(format=name, **options), calibration=samples, progress=Progress()).content


def check_pieces(content, *, tolerance=0.0):
    """Feeds each piece with what the whole file fed that operator; the number of pieces."""
    whole = TfliteModel(content, kernels="builtin", keep_tensors=True)
    whole.invoke(trial_inputs(whole.inputs, 7))
    main = parse(content).subgraphs[0]
    pieces = cut_operators(content)
    for number, piece in pieces.items():
        operator, alone = main.operators[number], TfliteModel(piece, kernels="builtin")
        given = {main.tensors[index].name: index for index in operator.inputs if index >= 0}
        outputs = alone.invoke([whole.get_tensor(given[spec.name]).reshape(spec.shape) for spec in alone.inputs])
        for index, values in zip(operator.outputs, outputs, strict=True):
            expected = whole.get_tensor(index)
            assert values.dtype == expected.dtype
            assert np.abs(values.astype(np.float64) - expected).max() <= tolerance, number
    return len(pieces)


@pytest.mark.parametrize("name", ["float32", "int8", "dynamic"])
def test_every_operator_alone_gives_what_it_gives_in_the_file(small_model, name, probe_in_this_process):
    content = converted(small_model, name)
    assert check_pieces(content) == len(parse(content).subgraphs[0].operators)


def test_dequantized_weights_come_along_and_are_no_piece(small_model, probe_in_this_process):
    content = converted(small_model, "float16")
    names = [parse(content).operator_codes[operator.code].name for operator in parse(content).subgraphs[0].operators]
    assert check_pieces(content) == len(names) - names.count("DEQUANTIZE")
    assert names.count("DEQUANTIZE") > 4


@pytest.mark.parametrize("file", ["kws/kws_ref_model.tflite", "ic/pretrainedResnet_quant.tflite", "vww/vww_96_int8.tflite"])
def test_real_files_are_cut_and_the_pieces_are_right(data_folder, file):
    content = (data_folder / "mlperf_tiny" / file).read_bytes()
    assert check_pieces(content) == len(parse(content).subgraphs[0].operators)


def test_pieces_hold_their_own_weights_only(small_model, probe_in_this_process):
    content = converted(small_model, "float32")
    pieces = cut_operators(content)
    assert sum(map(len, pieces.values())) < 2 * len(content) + 1500 * len(pieces)
    for piece in pieces.values():
        assert len(parse(piece).subgraphs[0].operators) == 1


def test_what_is_no_file_is_refused():
    with pytest.raises(ModelError):
        cut_operators(b"no model")


def test_what_decodes_a_packed_kernel_comes_along(small_model):
    """A kernel of 4 bits: DEQUANTIZE and FULLY_CONNECTED in one file."""
    content = converted(small_model, "float32")
    tflite = parse(content)
    dense = next(operator for operator in reversed(weighted_operators(tflite)) if operator.name == "FULLY_CONNECTED")
    kernel = read_constant(tflite, tflite.subgraphs[0].tensors[dense.kernel_index])
    scales = np.abs(kernel).max(axis=1) / 7
    integers = np.round(kernel / scales[:, None]).astype(np.int8)
    packed = write_kernels(content, {dense.kernel_index: IntegerKernel(integers, scales, 0, 4)}, "float")
    cut = list(cut_operators(packed).values())[-1]
    assert [operator.name for operator in list_operators(parse(cut))] == ["DEQUANTIZE", "FULLY_CONNECTED"]
    values = np.ones((1, kernel.shape[1]), np.float32)
    expected = values @ (integers * scales[:, None]).T  # the bias is zero
    np.testing.assert_allclose(TfliteModel(cut).invoke([values])[0], expected, rtol=1e-5, atol=1e-6)
