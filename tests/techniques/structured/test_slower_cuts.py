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


def network(channels):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = L.Conv2D(channels, 3, activation="relu")(inputs)
    return keras.Model(inputs, L.Dense(10)(L.GlobalAveragePooling2D()(L.Conv2D(channels, 3, activation="relu")(x))))


def racing(context, given, cut_ms, rounded_ms):
    """A machine that is twice as fast in each race as in the one before; the model that was given takes 1 ms in the first."""
    races = []

    class Stub(Rehearsal):
        def race(self, *models):
            races.append([channels(model) for model in models])
            times = [1.0 if model is given else cut_ms if channels(model) == races[0][1] else rounded_ms for model in models]
            return [time / 2 ** (len(races) - 1) for time in times]

    return replace(context, rehearsal=Stub(Export(format="float32"), context.data, Progress(), times=True)), races


@pytest.mark.parametrize(
    ("macs_left", "rounded_ms", "words", "is_rounded"),
    [
        (0.8, 0.5, "p50 0.75 ms against 0.5 ms on one thread. Its channels were rounded to multiples of 8, which gave 0.25 ms.", True),
        (0.2, 0.5, "p50 1.5 ms against 1 ms on one thread. With its channels rounded to multiples of 8 it would miss the budget.", False),
        (0.8, 1.6, "Rounding its channels to multiples of 8 would give 0.8 ms.", False),  # less than 1.5, of a race of its own
        (0.8, 1.49, "Rounding its channels to multiples of 8 would give 0.745 ms.", False),  # no more than noise
    ],
)
def test_a_slower_cut_is_rounded_where_that_helps_within_the_budget(make_context, macs_left, rounded_ms, words, is_rounded):
    model = network(12)
    context, _ = racing(make_context(), model, 1.5, rounded_ms)
    result = prune_channels.apply(model, PruneChannels(macs=macs_left, criterion="l1", round_to=1), context)
    assert macs(result.model) <= macs_left * macs(model)
    assert {12, 8}.issuperset(channels(result.model)) == is_rounded  # 12: a whole layer
    (note,) = result.notes
    assert note.endswith(words)


def test_a_cut_that_is_rounded_as_it_is_does_not_race_itself(make_context):
    model = network(16)
    context, races = racing(make_context(), model, 1.5, 1.5)
    result = prune_channels.apply(model, PruneChannels(fraction=0.5, criterion="l1", round_to=1, scope="layer"), context)
    assert channels(result.model) == [8, 8]
    (note,) = result.notes
    assert note.endswith("Rounding its channels to multiples of 8 would change nothing.")
    assert len(races) == 1
