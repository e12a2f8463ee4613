"""A cut model that is slower than the one before: its channels are rounded where that helps and the budget still holds."""

from dataclasses import replace

import pytest

from edgecompress.backend import keras
from edgecompress.graph.layers import describe_layers, total
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export
from edgecompress.recipe.stages import PruneChannels
from edgecompress.rehearsal import Rehearsal
from edgecompress.techniques import prune_channels

L = keras.layers


def channels(model):
    return [layer.filters for layer in model.layers if isinstance(layer, L.Conv2D)]


def macs(model):
    return total(describe_layers(model)).macs


@pytest.mark.parametrize(
    ("macs_left", "of_rounded_ms", "words", "is_rounded"),
    [
        (0.8, 0.5, "Its channels were rounded to multiples of 8, which gave 0.5 ms.", True),
        (0.2, 0.5, "With its channels rounded to multiples of 8 it would miss the budget.", False),
        (0.8, 1.6, "Rounding its channels to multiples of 8 would give 1.6 ms.", False),
    ],
)
def test_a_slower_cut_is_rounded_where_that_helps_within_the_budget(make_context, macs_left, of_rounded_ms, words, is_rounded):
    times = iter([1.5, of_rounded_ms])

    class Stub(Rehearsal):
        def race(self, *models):
            return [1.0, next(times)]

    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = L.Conv2D(12, 3, activation="relu")(inputs)
    model = keras.Model(inputs, L.Dense(10)(L.GlobalAveragePooling2D()(L.Conv2D(12, 3, activation="relu")(x))))
    context = make_context()
    context = replace(context, rehearsal=Stub(Export(format="float32"), context.data, Progress(), times=True))
    result = prune_channels.apply(model, PruneChannels(macs=macs_left, criterion="l1", round_to=1), context)
    assert macs(result.model) <= macs_left * macs(model)
    assert {12, 8}.issuperset(channels(result.model)) == is_rounded  # 12: a whole layer
    (note,) = result.notes
    assert note.endswith(words)
