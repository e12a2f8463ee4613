"""A stage that measured times and died goes on with what it decided by them, though they would be others now."""

from dataclasses import replace
from functools import partial

import pytest

from edgecompress import layer_latency
from edgecompress.backend import keras
from edgecompress.layer_latency import LayerLatency
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export
from edgecompress.recipe.stages import Factorize, Match, PruneChannels, ReplaceConvolutions, Train
from edgecompress.rehearsal import Rehearsal
from edgecompress.store import WORK_FOLDER
from edgecompress.techniques import factorize, prune_channels, replace_convolutions
from edgecompress.techniques.factorize import stage as factorize_stage
from edgecompress.techniques.remembered import FILE, remembered, remembered_latency
from edgecompress.techniques.replace_convolutions import stage as replace_stage
from edgecompress.techniques.structured import removal

L = keras.layers
TRAIN = Train(epochs=3)


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1), name="input")
    x = L.Conv2D(12, 3, padding="same", activation="relu", name="conv1")(inputs)
    x = L.Conv2D(12, 3, padding="same", activation="relu", name="conv2")(x)
    x = L.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, L.Dense(10, name="logits")(x))


class Clock:
    """First everything is as fast as it should be, and from the second race on nothing is."""

    races = 0

    def compare(self, *_):
        self.races += 1
        return LayerLatency(0.2, 0.1, is_faster=self.races == 1)

    def race(self, *_):
        self.races += 1
        return {1: [1.0, 2.0], 2: [1.0, 2.0, 0.5]}.get(self.races, [1.0, 0.9])  # slower, so rounded, which helps; later never slower


def rehearsing(context, clock):
    class Stub(Rehearsal):
        race = staticmethod(clock.race)

    return replace(context, rehearsal=Stub(Export(format="float32"), context.data, Progress(), times=True))


def apply_factorize(model, context, clock):
    return factorize.apply(model, Factorize(method="svd", ratio=0.3, timed_as="float32", train=TRAIN, layers=["conv2"]), context)


def apply_replace(model, context, clock):
    config = ReplaceConvolutions(layers=["conv2"], match=Match(epochs=0), timed_as="float32", train=TRAIN)
    return replace_convolutions.apply(model, config, context)


def apply_prune(model, context, clock):
    config = PruneChannels(macs=0.6, criterion="l1", round_to=1, train=TRAIN)
    return prune_channels.apply(model, config, rehearsing(context, clock))


STAGES = [(apply_factorize, factorize_stage), (apply_replace, replace_stage), (apply_prune, removal)]


@pytest.mark.parametrize(("apply", "module"), STAGES, ids=["factorize", "replace_convolutions", "prune_channels"])
def test_a_stage_that_goes_on_has_the_layers_that_it_began_with(apply, module, network, make_context, tmp_path, monkeypatch, killed_at):
    def run(folder, clock):
        monkeypatch.setattr(layer_latency, "compare_latency", clock.compare)
        return apply(network, make_context(folder=tmp_path / folder), clock)

    for folder in ("undisturbed", "killed"):
        (tmp_path / folder).mkdir()
    undisturbed, clock, fit = run("undisturbed", Clock()), Clock(), module.fit
    with killed_at(2) as callback:
        monkeypatch.setattr(module, "fit", partial(fit, callbacks=[callback]))
        run("killed", clock)
    races = clock.races
    monkeypatch.setattr(module, "fit", fit)
    resumed = run("killed", clock)
    assert clock.races == races
    assert resumed.layers == undisturbed.layers
    assert resumed.notes == undisturbed.notes
    assert resumed.training == undisturbed.training
    assert all((one == two).all() for one, two in zip(undisturbed.model.get_weights(), resumed.model.get_weights(), strict=True))


def test_each_name_is_asked_for_once_and_a_damaged_file_forgets(make_context, tmp_path):
    context, answers = make_context(), iter(range(9))
    assert [remembered(context, name, lambda: next(answers)) for name in ("one", "other", "one")] == [0, 1, 0]
    (tmp_path / WORK_FOLDER / FILE).write_text("[1")
    assert remembered(context, "one", lambda: next(answers)) == 2


@pytest.mark.parametrize("found", ["it could not be timed: no", LayerLatency(0.2, 0.1, is_faster=True, predicted=True)])
def test_latencies_come_back_as_they_were(found, make_context):
    assert remembered_latency(make_context(), "layer", lambda: found) == found
    assert remembered_latency(make_context(), "layer", lambda: None) == found
