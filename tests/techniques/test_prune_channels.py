"""Channels really removed: budgets met, ties kept, keeps cut along, and what bad input gets."""

import dataclasses

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.errors import ModelError, RecipeError
from edgecompress.export import convert
from edgecompress.graph.layers import describe_layers, total
from edgecompress.keeps import find_variable
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export
from edgecompress.recipe.stages import ClusterWeights, PruneChannels, PruneNeurons, PruneWeights, QuantizeAware, Train
from edgecompress.recipe.stages.prune_channels import SparseTraining
from edgecompress.rehearsal import Rehearsal
from edgecompress.store import CURVES
from edgecompress.techniques import cluster_weights, prune_channels, prune_neurons, prune_weights, quantize_aware
from edgecompress.techniques.structured import removal
from edgecompress.techniques.structured.scores import WITHOUT_SAMPLES

L = keras.layers
CRITERIA = [*WITHOUT_SAMPLES, "taylor", "fisher", "activation", "apoz"]


@pytest.fixture(scope="module")
def network():
    """Two residual blocks and a squeeze-and-excite gate, for 8 x 8 images."""
    keras.utils.set_random_seed(5)
    inputs = keras.Input((8, 8, 1))

    def block(x, filters, name):
        return L.ReLU()(L.BatchNormalization()(L.Conv2D(filters, 3, padding="same", use_bias=False, name=name)(x)))

    x = block(inputs, 16, "stem")
    for number in (1, 2):
        x = L.Add()([x, block(block(x, 24, f"inner{number}"), 16, f"outer{number}")])
    gate = L.Dense(16, "sigmoid", name="gate")(L.Dense(8, "relu", name="squeeze")(L.GlobalAveragePooling2D()(x)))
    x = block(L.Multiply()([x, gate]), 32, "last")
    return keras.Model(inputs, L.Dense(10, name="logits")(L.Flatten()(x)))


def macs(model):
    return total(describe_layers(model)).macs


def channels(model):
    return {layer.name: layer.filters for layer in model.layers if isinstance(layer, L.Conv2D)}


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_meets_the_budget(criterion, network, make_context):
    result = prune_channels.apply(network, PruneChannels(macs=0.5, criterion=criterion, round_to=4), make_context())
    assert 0.4 * macs(network) < macs(result.model) <= 0.5 * macs(network)
    assert all(count % 4 == 0 for count in channels(result.model).values())


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize(
    ("budget", "measured"),
    [
        ({"macs": 0.4}, lambda small, whole: macs(small) <= 0.4 * macs(whole)),
        ({"macs": 400_000}, lambda small, whole: macs(small) <= 400_000),
        ({"parameters": 0.5}, lambda small, whole: small.count_params() <= 0.5 * whole.count_params()),
        ({"parameters": 12_000}, lambda small, whole: small.count_params() <= 12_000),
        ({"fraction": 0.5}, lambda small, whole: sum(channels(small).values()) <= 80),  # 16 * 3, 24 * 2 and 32 were 112, 3 of them tied
    ],
)
def test_budgets_are_met(budget, measured, scope, network, make_context):
    config = PruneChannels(**budget, criterion="l1", scope=scope, round_to=1)
    assert measured(prune_channels.apply(network, config, make_context()).model, network)


def test_tied_layers_lose_the_same_channels_and_say_so(network, make_context):
    result = prune_channels.apply(network, PruneChannels(macs=0.3, criterion="l1", scope="layer", round_to=4), make_context())
    left = channels(result.model)
    assert left["stem"] == left["outer1"] == left["outer2"] < 16
    record = next(record for record in result.layers if record.name == "outer1")
    assert (record.action, record.before, record.after) == ("changed", {"channels": 16}, {"channels": left["stem"]})
    assert record.reason == f"{left['stem']} of 16 channels left, the same as in stem, outer2, gate"


def test_the_result_is_the_model_without_the_least_channels(network, make_context):
    config = PruneChannels(fraction=0.2, criterion="l1", layers=["last"], round_to=1, reestimate=False)
    result = prune_channels.apply(network, config, make_context())
    kernel = network.get_layer("last").kernel.numpy()
    best = np.sort(np.argsort(np.abs(kernel).mean((0, 1, 2)), kind="stable")[7:])  # at least 20 % of 32 go: 7
    np.testing.assert_array_equal(result.model.get_layer("last").kernel.numpy(), kernel[..., best])


def test_floor_holds_in_every_layer(network, make_context):
    config = PruneChannels(macs=0.35, criterion="random", round_to=1, floor=0.5)
    left = channels(prune_channels.apply(network, config, make_context()).model)
    assert all(left[name] >= 0.5 * count for name, count in channels(network).items())


def test_steps_train_between_the_cuts(small_model, make_context, tmp_path):
    config = PruneChannels(macs=0.5, criterion="taylor", round_to=1, steps=2, train=Train(epochs=1))
    result = prune_channels.apply(small_model, config, make_context())
    assert [row["epoch"] for row in result.training] == [1, 2]
    assert macs(result.model) <= 0.5 * macs(small_model)
    assert [path.name for path in tmp_path.iterdir()] == [CURVES]  # and nothing of the trainings between


def test_a_stage_killed_between_its_cuts_gives_the_bits_of_an_undisturbed_one(small_model, make_context, tmp_path, monkeypatch):
    config = PruneChannels(macs=0.5, criterion="taylor", round_to=1, steps=2, train=Train(epochs=2))
    folders = [tmp_path / name for name in ("undisturbed", "killed")]
    for folder in folders:
        folder.mkdir()
    undisturbed = prune_channels.apply(small_model, config, make_context(folder=folders[0]))
    fit, trainings = removal.fit, []

    def killed_in_the_second(*arguments, **options):
        trainings.append(arguments)
        if len(trainings) == 2:
            raise InterruptedError
        return fit(*arguments, **options)

    monkeypatch.setattr(removal, "fit", killed_in_the_second)
    with pytest.raises(InterruptedError):
        prune_channels.apply(small_model, config, make_context(folder=folders[1]))
    monkeypatch.setattr(removal, "fit", fit)
    resumed = prune_channels.apply(small_model, config, make_context(folder=folders[1]))
    assert all((one == two).all() for one, two in zip(undisturbed.model.get_weights(), resumed.model.get_weights(), strict=True))
    assert resumed.training == undisturbed.training


def test_training_after_the_cut_learns(small_model, make_context):
    result = prune_channels.apply(small_model, PruneChannels(macs=0.7, criterion="l1", train=Train(epochs=3)), make_context())
    assert result.training[-1]["loss"] < 0.7 * result.training[0]["loss"]


def test_a_model_within_its_budget_is_left_alone(network, make_context):
    result = prune_channels.apply(network, PruneChannels(macs=1.0, train=Train(epochs=1)), make_context())
    assert {record.action for record in result.layers} == {"skipped"}
    assert result.training == []
    assert all((one == two).all() for one, two in zip(network.get_weights(), result.model.get_weights(), strict=True))


def test_zeros_and_shared_values_are_cut_along_and_held_in_the_training_after(network, make_context):
    pruned = prune_weights.apply(network, PruneWeights(sparsity=0.5), make_context())
    clustered = cluster_weights.apply(pruned.model, ClusterWeights(clusters=8), make_context(keeps=pruned.keeps))
    config = PruneChannels(macs=0.6, criterion="l1", round_to=4, train=Train(epochs=1))
    result = prune_channels.apply(clustered.model, config, make_context(keeps=clustered.keeps))
    assert len(result.keeps) == len(clustered.keeps)
    for keep in result.keeps:
        kernel = find_variable(result.model, keep.layer, keep.weight).numpy()
        assert keep.values.shape == kernel.shape
        assert keep.held(kernel)


def test_quantize_aware_training_takes_the_result(small_model, make_context):
    result = prune_channels.apply(small_model, PruneChannels(macs=0.6, criterion="l1", round_to=4), make_context())
    train = Train(epochs=1, learning_rate=1e-4)
    assert quantize_aware.apply(result.model, QuantizeAware(train=train), make_context(keeps=result.keeps)).training


def test_neurons_and_channels_are_told_apart(network, make_context):
    result = prune_channels.apply(network, PruneChannels(macs=0.7, criterion="l1", round_to=4), make_context())
    reasons = {record.name: record.reason for record in result.layers if record.action == "skipped"}
    assert reasons["squeeze"] == "made by Dense layers alone: prune_neurons removes neurons"
    assert reasons["logits"] == "an output of the model"
    neurons = prune_neurons.apply(network, PruneNeurons(fraction=0.5, criterion="l1", round_to=1), make_context())
    assert neurons.model.get_layer("squeeze").units == 4
    assert neurons.model.get_layer("gate").units == 16  # tied to convolutions
    assert channels(neurons.model) == channels(network)


def test_what_a_criterion_cannot_see_stays(make_context):
    inputs = keras.Input((8, 8, 1))
    x = L.Conv2D(16, 3, name="seen")(inputs)
    x = L.Conv2D(16, 3, name="unseen")(L.BatchNormalization()(x))
    model = keras.Model(inputs, L.Dense(10, name="logits")(L.Flatten()(x)))
    result = prune_channels.apply(model, PruneChannels(fraction=0.2, criterion="batch_norm_scale"), make_context())
    assert channels(result.model) == {"seen": 8, "unseen": 16}


class StubRehearsal(Rehearsal):
    """Times that depend on the number of channels alone: odd ones are slow."""

    def latencies_ms(self, files):
        return {name: float(content) for name, content in files.items()}

    def convert(self, model):
        slow = any(count % 8 for count in channels(model).values())
        return str(macs(model) * (10 if slow else 1) / 1e6).encode()


def rehearsing(make_context, kind, digits):
    rehearsal = kind(Export(format="float32"), digits, Progress(), times=True)
    return dataclasses.replace(make_context(), rehearsal=rehearsal)


def test_a_cut_that_measures_slower_is_rounded_and_says_so(network, make_context, digits):
    context = rehearsing(make_context, StubRehearsal, digits)
    result = prune_channels.apply(network, PruneChannels(macs=0.8, criterion="l1", round_to=1), context)
    assert all(count % 8 == 0 for count in channels(result.model).values())
    (note,) = result.notes
    assert note.startswith("the cut model measured slower than the one before: p50 ")
    assert "Its channels were rounded to multiples of 8" in note
    assert macs(result.model) < macs(network)


def test_a_cut_that_is_faster_is_kept_as_it_is(network, make_context, digits):
    context = rehearsing(make_context, StubRehearsal, digits)
    result = prune_channels.apply(network, PruneChannels(macs=0.6, criterion="l1"), context)
    assert result.notes == ()


def test_latency_is_met_by_measuring(network, make_context, digits):
    context = rehearsing(make_context, StubRehearsal, digits)
    result = prune_channels.apply(network, PruneChannels(latency_ms=0.5, criterion="l1"), context)
    assert float(context.rehearsal.convert(result.model)) <= 0.5


def test_a_file_that_fits_after_the_shrink_is_not_cut(network, make_context, digits):
    context = rehearsing(make_context, Rehearsal, digits)
    plain = len(convert(network, context.rehearsal.export, calibration=None, progress=Progress()).content)
    small = len(context.rehearsal.convert(network))
    assert small < plain
    result = prune_channels.apply(network, PruneChannels(size_kb=(small + plain) / 2000, criterion="l1"), context)
    assert channels(result.model) == channels(network)


def test_a_size_is_found_by_few_files_and_each_is_made_once(network, make_context, digits):
    made = []

    class Counting(Rehearsal):
        knows_times = False

        def convert(self, model):
            made.append(tuple(channels(model).values()))
            return bytes(model.count_params())

    config = PruneChannels(size_kb=0.7 * network.count_params() / 1000, criterion="l1")
    result = prune_channels.apply(network, config, rehearsing(make_context, Counting, digits))
    assert 0.5 < result.model.count_params() / network.count_params() <= 0.7
    assert len(set(made)) == len(made) <= 7


@pytest.mark.full
def test_size_and_latency_of_real_files(network, make_context, digits):
    context = rehearsing(make_context, Rehearsal, digits)
    whole = len(context.rehearsal.convert(network)) / 1000
    result = prune_channels.apply(network, PruneChannels(size_kb=0.7 * whole, criterion="l1"), context)
    assert 0.6 * whole < len(context.rehearsal.convert(result.model)) / 1000 <= 0.7 * whole
    before, after = context.rehearsal.race(network, result.model)
    assert 0 < after < before


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"macs": 0.01}, ModelError, r"macs must be a budget that can be reached: the nearest is 0\.\d+; floor 0\.1, round_to 8 "),
        ({"fraction": 0.99}, ModelError, r"fraction must be a budget that can be reached: the nearest is 0\.\d+.*Received: 0\.99"),
        ({"macs": 0.5, "round_to": 64}, RecipeError, "round_to must be at most .* Received: 64, and stem has 16"),
        ({"macs": 0.5, "layers": ["stme"]}, RecipeError, r"layers must match at least one layer\. Received: 'stme'\. Did you mean 'stem'"),
        ({"macs": 0.5, "skip": ["type:Conv2D"]}, ModelError, r"model must have a group of channels .* Received: .*named in `skip`"),
        ({"macs": 0.5, "layers": ["logits"]}, ModelError, "model must have a group of channels that can be cut"),
        ({"latency_ms": 1.0}, ModelError, "latency_ms must be a budget that can be measured"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_and_the_model_untouched(fields, error, message, network, make_context):
    before = network.get_weights()
    with pytest.raises(error, match=message):
        prune_channels.apply(network, PruneChannels(criterion="l1", **fields), make_context())
    assert all((one == two).all() for one, two in zip(before, network.get_weights(), strict=True))


def test_a_plan_refuses_what_a_run_would(network):
    with pytest.raises(ModelError, match="macs must be a budget that can be reached"):
        prune_channels.plan(network, PruneChannels(macs=0.01))
    sparse = SparseTraining(penalty="batch_norm", train=Train(epochs=1))
    with pytest.raises(ModelError, match="penalty batch_norm needs BatchNormalization"):
        prune_neurons.plan(network, PruneNeurons(fraction=0.5, round_to=1, layers=["squeeze"], sparse=sparse))
    planned, records = prune_channels.plan(network, PruneChannels(latency_ms=1.0))
    assert planned is network
    assert {record.reason for record in records if record.action == "changed"} == {
        "channels go until latency_ms 1 is met, which a run measures"
    }


def test_a_plan_meets_the_budget(network):
    planned, _ = prune_channels.plan(network, PruneChannels(macs=0.5))  # taylor: without samples, by l1
    assert macs(planned) <= 0.5 * macs(network)


def test_ratios_by_sensitivity_meet_the_budget_and_are_reported(network, make_context):
    context = make_context()
    result = prune_channels.apply(network, PruneChannels(macs=0.5, criterion="l1", ratios="sensitivity", round_to=1), context)
    assert macs(result.model) <= 0.5 * macs(network)
    assert {curve.name for curve in result.sensitivity.curves} >= {"last"}
    assert (context.folder / "sensitivity.json").is_file()
