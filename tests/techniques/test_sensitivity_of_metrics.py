"""Stored sensitivities belong to the metric that was measured."""

import pytest

from edgecompress.backend import keras
from edgecompress.graph.channels import channel_graph
from edgecompress.recipe.schema import Task
from edgecompress.recipe.stages import Factorize
from edgecompress.techniques import factorize
from edgecompress.techniques.low_bits.sensitivity import measure_bits
from edgecompress.techniques.structured.curves import measure_channels

L = keras.layers


def of_channels(model, context):
    return measure_channels(model, channel_graph(model), ["conv"], "l1", context)


def of_ranks(model, context):
    config = Factorize(rank="sensitivity", metric_drop=0.1, timed_as=None, layers=["conv"])
    return factorize.apply(model, config, context).sensitivity


@pytest.mark.parametrize("measure", [of_channels, measure_bits, of_ranks])
def test_the_same_folder_gives_another_metric_its_own_values(measure, make_context):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = L.Conv2D(16, 5, activation="relu", name="conv")(L.Conv2D(8, 3, name="first")(inputs))
    model = keras.Model(inputs, L.Dense(10, name="logits")(L.Flatten()(x)))
    for metric in ("accuracy", "sparse_categorical_crossentropy"):
        context = make_context(task=Task(metrics=[metric]))
        assert measure(model, context).whole == context.evaluate(model)[metric]
