"""Operators know the Keras layer that they are part of, also in a file without names."""

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.export import convert
from edgecompress.export.layer_tensors import kernel_layers
from edgecompress.export.operator_layers import operator_reports
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export
from edgecompress.shrinking import shrink_export
from edgecompress.tflite import Rewritten, list_operators, parse


def test_layer_with_the_kernel_gives_the_name_to_what_goes_along(small_model):
    assert kernel_layers(small_model) == {"relu1": "conv1", "relu2": "depthwise", "conv2": "conv2", "logits": "logits"}


@pytest.mark.parametrize("options", [{"format": "float32"}, {"format": "int8", "io": "float32"}])
def test_every_operator_of_the_shrunk_file_has_its_layer(small_model, options, probe_in_this_process):
    samples = np.random.default_rng(0).uniform(0, 1, (8, 8, 8, 1)).astype(np.float32)
    conversion = convert(small_model, Export(**options), calibration=samples, progress=Progress())
    shrunk = shrink_export(conversion.content)
    final = parse(shrunk.content)
    reports = operator_reports(
        Rewritten(parse(conversion.content), final, shrunk.kept), conversion.tensors, kernel_layers(small_model)
    )  # fmt: skip
    assert [report.operator for report in reports] == [info.name for info in list_operators(final)]
    assert [report.index for report in reports] == list(range(len(reports)))
    found = {}
    for report in reports:
        found.setdefault(report.layer, []).append(report.operator)
    assert found["conv1"][-1] == "CONV_2D"
    assert found["depthwise"] == ["DEPTHWISE_CONV_2D"]
    assert found["conv2"] == ["CONV_2D"]
    assert found["logits"][0] == "FULLY_CONNECTED"
    assert None not in found
    assert sum(report.macs for report in reports) == sum(info.macs for info in list_operators(final))


def test_operators_that_the_shrink_took_out_do_not_shift_the_others(small_model, probe_in_this_process):
    conversion = convert(small_model, Export(format="float32"), calibration=None, progress=Progress())
    converted = parse(conversion.content)
    whole = operator_reports(Rewritten(converted, converted), conversion.tensors, kernel_layers(small_model))
    shorter = parse(_without_operator(conversion.content, 1))
    kept = [report.index for report in whole if report.index != 1]
    reports = operator_reports(Rewritten(converted, shorter, kept), conversion.tensors, kernel_layers(small_model))
    assert [report.layer for report in reports] == [report.layer for report in whole if report.index != 1]


def _without_operator(content, number):
    """The file with one operator less, no matter that it computes nothing sensible then."""
    from edgecompress.tflite.pack import pack
    from edgecompress.tflite.unpack import unpack

    model = unpack(content)
    del model.subgraphs[0].operators[number]
    return pack(model)


def test_operators_alike_are_not_taken_for_each_other(probe_in_this_process):
    """Two pads become part of the convolutions behind them; then three convolutions follow each other, and two of them did before."""
    layers = keras.layers
    x = inputs = keras.Input((8, 8, 2))
    for name in ("one", "two"):
        x = layers.Conv2D(3, 3, name=name)(layers.ZeroPadding2D(1, name=f"pad_{name}")(x))
    model = keras.Model(inputs, layers.Conv2D(3, 1, name="three")(x))
    conversion = convert(model, Export(format="float32"), calibration=None, progress=Progress())
    shrunk = shrink_export(conversion.content)
    file = Rewritten(parse(conversion.content), parse(shrunk.content), shrunk.kept)
    found = [(report.operator, report.layer) for report in operator_reports(file, conversion.tensors, kernel_layers(model))]
    assert found == [("CONV_2D", "one"), ("CONV_2D", "two"), ("CONV_2D", "three")]
