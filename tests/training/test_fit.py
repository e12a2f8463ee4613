"""The one `fit()`: resume, early stop, NaN, freezing, learning-rate schedules."""

import dataclasses

import numpy as np
import pytest

from edgecompress.backend import OWN_LAYERS, keras
from edgecompress.errors import RecipeError, TrainingError
from edgecompress.models.copying import copy_model
from edgecompress.recipe.stages import Train
from edgecompress.training import fit
from edgecompress.training.callbacks import EarlyStop, History
from edgecompress.training.checkpoint import Checkpoint


@pytest.mark.parametrize("train", [Train(epochs=4, schedule="cosine"), Train(epochs=4, optimizer="sgd", early_stop=3)])
def test_resumed_training_gives_the_bits_of_an_undisturbed_one(small_model, make_context, tmp_path, train, killed_at):
    undisturbed, resumed, fresh = (copy_model(small_model) for _ in range(3))
    whole = fit(undisturbed, train, make_context(folder=tmp_path))
    (tmp_path / "training.npz").unlink()
    with killed_at(2) as callback:
        fit(resumed, train, make_context(folder=tmp_path), callbacks=[callback])
    rows = fit(fresh, train, make_context(folder=tmp_path))
    assert all((one == two).all() for one, two in zip(undisturbed.get_weights(), fresh.get_weights(), strict=True))
    assert rows == whole


def test_paths_that_a_resumed_training_leaves_out_are_those_of_an_undisturbed_one(make_context, tmp_path, killed_at):
    """ConvNeXt's layer: tf_keras' own draws from a state that no checkpoint holds."""
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Dense(16, activation="relu")(keras.layers.Flatten()(inputs))
    x = keras.layers.Add()([x, OWN_LAYERS["StochasticDepth"](0.5)(keras.layers.Dense(16)(x))])
    model = keras.Model(inputs, keras.layers.Dense(10, name="logits")(x))
    undisturbed, resumed, fresh = (copy_model(model) for _ in range(3))
    fit(undisturbed, Train(epochs=3), make_context(folder=tmp_path))
    (tmp_path / "training.npz").unlink()
    with killed_at(2) as callback:
        fit(resumed, Train(epochs=3), make_context(folder=tmp_path), callbacks=[callback])
    fit(fresh, Train(epochs=3), make_context(folder=tmp_path))
    assert all((one == two).all() for one, two in zip(undisturbed.get_weights(), fresh.get_weights(), strict=True))


def test_damaged_checkpoint_starts_over(small_model, make_context, tmp_path):
    (tmp_path / "training.npz").write_bytes(b"PK half a zip")
    assert len(fit(copy_model(small_model), Train(epochs=1), make_context(folder=tmp_path))) == 1


@pytest.mark.parametrize("units", [[6, 2], [8, 4, 2]])
def test_checkpoint_of_another_model_starts_over(units, tmp_path):
    def model(units):
        made = keras.Sequential([keras.Input((4,)), *(keras.layers.Dense(number) for number in units)])
        made.compile("adam", "mse")
        return made

    written, other = model([8, 2]), model(units)
    checkpoint = Checkpoint(tmp_path / "training.npz", History(), None, 5)
    checkpoint.set_model(written)
    written.optimizer.build(written.trainable_variables)
    checkpoint.on_epoch_end(0)
    before = other.get_weights()
    assert checkpoint.restore(other) == 0
    assert all((one == two).all() for one, two in zip(before, other.get_weights(), strict=True))
    assert checkpoint.restore(written) == 1


def test_only_keras_own_validation_values_are_renamed(small_model):
    history = History()
    small_model = copy_model(small_model)
    small_model.compile("adam", "mse")
    history.set_model(small_model)
    history.on_epoch_end(0, {"loss": 1.0, "interval_error": 0.5, "val_loss": 2.0, "val_interval_error": 0.6})
    assert set(history.epochs[0]) == {
        "epoch", "loss", "interval_error", "validation_loss", "validation_interval_error", "learning_rate",
    }  # fmt: skip


def test_nan_loss_stops_with_stage_epoch_and_step(small_model, make_context):
    with pytest.raises(TrainingError, match=r"stage 01 test: the loss became (nan|inf) at step \d+ of epoch 1"):
        fit(copy_model(small_model), Train(epochs=2, optimizer="sgd", learning_rate=1e30), make_context())


def test_frozen_layers_do_not_move_and_are_free_again_afterwards(small_model, make_context):
    model = copy_model(small_model)
    fit(model, Train(epochs=1, freeze=["type:Conv2D"]), make_context())
    moved = {v.name for v, w in zip(model.trainable_weights, small_model.trainable_weights, strict=True) if (v.numpy() != w.numpy()).any()}
    assert "logits/kernel:0" in moved
    assert not {"conv1/kernel:0", "conv2/kernel:0"} & moved
    assert all(layer.trainable for layer in model.layers)


def test_freeze_pattern_without_match_is_an_error(small_model, make_context):
    with pytest.raises(RecipeError, match="freeze must match at least one layer"):
        fit(copy_model(small_model), Train(epochs=1, freeze=["nothing*"]), make_context())


def test_early_stop_restores_the_best_epoch(small_model, make_context):
    model = copy_model(small_model)
    rows = fit(model, Train(epochs=12, learning_rate=0.05, early_stop=2), make_context())
    best = max(row["validation_accuracy"] for row in rows)
    split = make_context().data.validation
    ((inputs, labels),) = [(x.numpy(), y.numpy()) for x, y in split.dataset(len(split))]
    accuracy = float((np.asarray(model(inputs)).argmax(1) == labels).mean())
    assert accuracy == pytest.approx(best, abs=1e-6)  # one float32 mean against one float64 mean


@pytest.mark.parametrize(("values", "stops_at"), [([0.5, 0.6, 0.6, 0.55, 0.7], 3), ([0.1, 0.2, 0.3, 0.4, 0.5], None)])
def test_patience_counts_epochs_without_a_better_value(values, stops_at):
    callback = EarlyStop("accuracy", True, 2)
    callback.set_model(keras.Sequential([keras.layers.Dense(1, input_shape=(1,))]))
    stopped = None
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"val_accuracy": value})
        if callback.model.stop_training:
            stopped = epoch
            break
    assert stopped == stops_at


def test_cosine_schedule_ends_near_zero(small_model, make_context):
    rows = fit(copy_model(small_model), Train(epochs=3, learning_rate=1e-2, schedule="cosine"), make_context())
    rates = [row["learning_rate"] for row in rows]
    assert rates[0] > rates[1] > rates[2]
    assert rates[-1] < 0.001 * rates[0]  # the last of N steps has 0.5 * (1 + cos(pi * (N - 1) / N)) of the first rate


def test_same_seed_same_bits_other_seed_other_bits(small_model, make_context, tmp_path):
    def trained(seed, name):
        model = copy_model(small_model)
        (tmp_path / name).mkdir()
        fit(model, Train(epochs=1), dataclasses.replace(make_context(seed=seed), folder=tmp_path / name))
        return model.get_weights()

    one, same, other = trained(1, "a"), trained(1, "b"), trained(2, "c")
    assert all((x == y).all() for x, y in zip(one, same, strict=True))
    assert any((x != y).any() for x, y in zip(one, other, strict=True))


@pytest.fixture
def wrap():
    """`wrap(technique, model)`: the model as a stage trains it, inside TF-MOT's wrappers."""
    from edgecompress.backend import model_optimization

    library = model_optimization()
    clustering = library.clustering.keras
    wrappers = {
        "prune_weights": library.sparsity.keras.prune_low_magnitude,
        "cluster_weights": lambda model: clustering.cluster_weights(model, 4, clustering.CentroidInitialization.LINEAR),
        "quantize_aware": library.quantization.keras.quantize_model,
    }
    return lambda technique, model: wrappers[technique](copy_model(model))


@pytest.mark.parametrize("technique", ["prune_weights", "cluster_weights", "quantize_aware"])
def test_frozen_layers_do_not_move_inside_wrappers_either(technique, wrap, small_model, make_context, tmp_path):
    from edgecompress.backend import model_optimization
    from edgecompress.graph.layers import wrapped_layer

    (tmp_path / "second").mkdir()
    frozen = ["conv1", "norm1", "depthwise", "conv2"]
    model = wrap(technique, small_model)
    callbacks = [model_optimization().sparsity.keras.UpdatePruningStep()] if technique == "prune_weights" else []

    def trained():
        """The values that a training may move, by layer; without masks and ranges, which no optimizer sets."""
        return {wrapped_layer(layer).name: [variable.numpy() for variable in layer.trainable_weights] for layer in model.layers}

    if technique == "prune_weights":
        fit(model, Train(epochs=1, learning_rate=1e-6), make_context(), callbacks=callbacks)  # half of the weights are zero from here on
    before, listed = trained(), [variable.name for variable in model.weights]
    fit(model, Train(epochs=1, freeze=frozen), make_context(folder=tmp_path / "second"), callbacks=callbacks)
    after = trained()
    for name in frozen:
        assert before[name]
        assert all(np.array_equal(one, two) for one, two in zip(before[name], after[name], strict=True)), name
    assert any((one != two).any() for one, two in zip(before["logits"], after["logits"], strict=True))
    assert [variable.name for variable in model.weights] == listed
