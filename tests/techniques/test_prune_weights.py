"""What pruning leaves in a model."""

import numpy as np
import pytest
from pydantic import ValidationError

from edgecompress.backend import keras
from edgecompress.errors import ModelError, RecipeError
from edgecompress.export import convert
from edgecompress.keeps import find_variable
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export
from edgecompress.recipe.stages import PruneWeights, Train
from edgecompress.techniques import prune_weights
from edgecompress.techniques.mask_updates import MaskSchedule
from edgecompress.tflite import parse, read_constant
from edgecompress.tflite.weights import weighted_operators
from edgecompress.training import callbacks
from edgecompress.training.fit import num_steps_per_epoch


def sparsities(model, result):
    return {keep.layer: float((find_variable(model, keep.layer, keep.weight).numpy() == 0).mean()) for keep in result.keeps}


@pytest.mark.parametrize("train", [None, Train(epochs=2)])
def test_requested_sparsity_is_exact_after_the_wrappers_are_gone(small_model, make_context, train):
    result = prune_weights.apply(small_model, PruneWeights(sparsity=0.6, train=train), make_context())
    assert [type(layer).__name__ for layer in result.model.layers] == [type(layer).__name__ for layer in small_model.layers]
    for keep in result.keeps:
        kernel = find_variable(result.model, keep.layer, keep.weight).numpy()
        assert int((kernel == 0).sum()) == round(0.6 * kernel.size)
    assert {keep.layer for keep in result.keeps} == {"conv1", "conv2", "logits"}


def test_pruning_learns_while_it_prunes(small_model, make_context):
    result = prune_weights.apply(small_model, PruneWeights(sparsity=0.5, train=Train(epochs=3)), make_context())
    assert [row["epoch"] for row in result.training] == [1, 2, 3]
    assert result.training[-1]["loss"] < 0.7 * result.training[0]["loss"]


def test_second_pruning_keeps_the_zeros_of_the_first(small_model, make_context):
    first = prune_weights.apply(small_model, PruneWeights(sparsity=0.3), make_context())
    second = prune_weights.apply(first.model, PruneWeights(sparsity=0.5, train=Train(epochs=1)), make_context(keeps=first.keeps))
    for keep in first.keeps:
        assert keep.held(find_variable(second.model, keep.layer, keep.weight).numpy())
    assert sparsities(second.model, second) == pytest.approx({"conv1": 0.5, "conv2": 0.5, "logits": 0.5}, abs=0.01)


def test_constant_schedule_reaches_the_sparsity_too(small_model, make_context):
    config = PruneWeights(sparsity=0.5, schedule="constant", train=Train(epochs=1))
    result = prune_weights.apply(small_model, config, make_context())
    assert set(sparsities(result.model, result).values()) == {0.5}


def test_layers_left_alone_are_named_with_the_reason(small_model, make_context):
    result = prune_weights.apply(small_model, PruneWeights(sparsity=0.5, layers=["type:Conv2D"], skip=["conv2"]), make_context())
    reasons = {record.name: record.reason for record in result.layers if record.action == "skipped"}
    assert reasons["conv2"] == "named in `skip`"
    assert reasons["logits"] == "not named in `layers`"
    assert [keep.layer for keep in result.keeps] == ["conv1"]


def test_pattern_without_match_lists_near_names(small_model, make_context):
    with pytest.raises(RecipeError, match=r"'convv1'.*Did you mean 'conv1'"):
        prune_weights.apply(small_model, PruneWeights(sparsity=0.5, layers=["convv1"]), make_context())


def test_nothing_to_prune_is_an_error(small_model, make_context):
    with pytest.raises(RecipeError, match=r"layers must match a layer that can be worked on: .*BatchNormalization has no kernel"):
        prune_weights.apply(small_model, PruneWeights(sparsity=0.5, layers=["type:BatchNormalization"]), make_context())
    with pytest.raises(ModelError, match="a layer must be left to work on"):
        prune_weights.apply(small_model, PruneWeights(sparsity=0.5, skip=["type:Conv2D", "type:Dense"]), make_context())


def groups_of_four(kernel, channel_axis=-1):
    """[groups, 4]: consecutive input channels of one output channel and position, filled up with zeros."""
    channels = np.moveaxis(kernel, -2 if channel_axis == -1 else -1, -1)
    padding = [(0, 0)] * (channels.ndim - 1) + [(0, -channels.shape[-1] % 4)]
    return np.pad(channels, padding).reshape(-1, 4)


TRAININGS = [None, Train(epochs=2)]


@pytest.mark.parametrize("train", TRAININGS)
def test_two_of_four_holds_in_every_group_and_the_report_counts_it(small_model, make_context, train):
    result = prune_weights.apply(small_model, PruneWeights(sparsity=0.5, pattern="2:4", train=train), make_context())
    assert [keep.layer for keep in result.keeps] == ["conv2", "logits"]  # 16 and 1,536 input channels
    for keep in result.keeps:
        kernel = find_variable(result.model, keep.layer, keep.weight).numpy()
        assert set((groups_of_four(kernel) != 0).sum(1)) == {2}
        assert keep.held(kernel)
    reasons = {record.name: record.reason for record in result.layers}
    assert reasons["conv1"] == "1 input channels are as the pattern 2:4 wants them"
    assert reasons["logits"] == "7,680 of 15,360 weights are zero"
    assert len(result.training) == (train.epochs if train else 0)


@pytest.mark.parametrize("train", TRAININGS)
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_block_count_is_exact(small_model, make_context, train, scope):
    config = PruneWeights(sparsity=0.6, pattern="block", block_shape=[2, 4], scope=scope, train=train)
    result = prune_weights.apply(small_model, config, make_context())
    zeroed = 0
    for keep in result.keeps:
        kernel = find_variable(result.model, keep.layer, keep.weight).numpy()
        matrix = np.swapaxes(kernel, -1, -2).reshape(-1, *kernel.shape[:-3:-1])  # [position, out, in]
        rows = [matrix[:, start : start + 2] for start in range(0, matrix.shape[1], 2)]
        found = [row[:, :, start : start + 4].reshape(len(matrix), -1) for row in rows for start in range(0, matrix.shape[2], 4)]
        num_zero = sum(int((block == 0).all(1).sum()) for block in found)
        assert all((block == 0).all(1).tolist() == (block == 0).any(1).tolist() for block in found)
        if scope == "layer":
            assert num_zero == round(0.6 * sum(len(block) for block in found)), keep.layer
        zeroed += num_zero
    if scope == "global":
        assert zeroed == round(0.6 * (9 * 8 + 12 * 4 + 5 * 384))


def test_patterns_learn_while_they_prune(small_model, make_context):
    result = prune_weights.apply(small_model, PruneWeights(sparsity=0.5, pattern="2:4", train=Train(epochs=3)), make_context())
    assert result.training[-1]["loss"] < 0.7 * result.training[0]["loss"]


def test_a_model_that_fits_the_pattern_is_left_alone_and_not_trained(small_model, make_context, monkeypatch):
    monkeypatch.setattr(prune_weights, "fit", lambda *_, **__: pytest.fail("it was trained"))
    config = PruneWeights(sparsity=0.5, pattern="2:4", layers=["conv1"], train=Train(epochs=1))
    result = prune_weights.apply(small_model, config, make_context())
    assert [record.action for record in result.layers] == ["skipped"] * len(result.layers)
    assert result.keeps == ()


def test_plan_of_a_pattern_says_what_apply_does(small_model, make_context):
    config = PruneWeights(sparsity=0.5, pattern="2:4")
    records = prune_weights.plan(small_model, config)[1]
    assert records == prune_weights.apply(small_model, config, make_context()).layers


def test_a_killed_training_with_masks_goes_on_to_the_same_bits(small_model, make_context, tmp_path, monkeypatch):
    config = PruneWeights(sparsity=0.5, pattern="block", train=Train(epochs=3))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    undisturbed = prune_weights.apply(small_model, config, make_context(folder=tmp_path / "a"))

    class Killed(Exception):
        pass

    def kill(self, batch, logs=None):
        if self.model.optimizer.iterations > 2 * num_steps_per_epoch(make_context(), None) + 3:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.ResetRandomLayers, "on_train_batch_begin", kill)
        with pytest.raises(Killed):
            prune_weights.apply(small_model, config, make_context(folder=tmp_path / "b"))
    continued = prune_weights.apply(small_model, config, make_context(folder=tmp_path / "b"))
    for one, two in zip(undisturbed.model.get_weights(), continued.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_layer_that_is_called_twice_is_pruned_as_slowly_as_any_other(make_context, monkeypatch):
    """Both halves of an image go through one layer."""
    layers, part = keras.layers, []
    inputs = keras.Input((8, 8, 1))
    shared = layers.Dense(16, activation="relu", name="shared")
    halves = [shared(layers.Flatten()(layers.Cropping2D(((top, 4 - top), 0))(inputs))) for top in (0, 4)]
    model = keras.Model(inputs, layers.Dense(10, name="logits")(layers.Concatenate()(halves)))

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            part.append({name: float((find_variable(self.model, name, "kernel").numpy() == 0).mean()) for name in ("shared", "logits")})

    fit = prune_weights.fit
    monkeypatch.setattr(prune_weights, "fit", lambda *given, callbacks, **more: fit(*given, callbacks=[*callbacks, Watch()], **more))
    result = prune_weights.apply(model, PruneWeights(sparsity=0.8, train=Train(epochs=4)), make_context())
    assert sparsities(result.model, result) == pytest.approx({"shared": 0.8, "logits": 0.8}, abs=0.002)
    for row in part:
        assert row["shared"] == pytest.approx(row["logits"], abs=0.02)
    assert part[0]["shared"] < 0.75


@pytest.mark.parametrize("initial", [0.0, 0.2])
def test_schedule_is_that_of_tf_mot(initial):
    from edgecompress.backend import model_optimization

    final, begin, end, frequency = 0.8, 10, 110, 5
    ours = MaskSchedule(begin, end, frequency, initial / final)
    theirs = model_optimization().sparsity.keras.PolynomialDecay(initial, final, begin_step=begin, end_step=end, frequency=frequency)
    for step in range(130):
        due, sparsity = theirs(step)
        assert ours.is_due(step) == bool(due), step
        if due:
            assert final * ours.fraction(step) == pytest.approx(float(sparsity), abs=1e-6)  # theirs is float32
    assert MaskSchedule(10, 110, 5, 1.0).fraction(10) == 1.0


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"sparsity": 0.6, "pattern": "2:4"}, r"sparsity must be 0\.5 with the pattern 2:4\. Received: 0\.6"),
        ({"sparsity": 0.5, "pattern": "2:4", "scope": "global"}, r"scope must be layer with the pattern 2:4"),
        ({"sparsity": 0.5, "block_shape": [1, 4]}, r"pattern must be block with block_shape\. Received: 'unstructured'"),
        ({"sparsity": 0.5, "pattern": "2:4", "block_score": "max"}, r"pattern must be block with block_score\. Received: '2:4'"),
        ({"sparsity": 0.5, "pattern": "block", "block_shape": [1]}, r"at least 2 items"),
        ({"sparsity": 0.5, "pattern": "block", "block_shape": [0, 4]}, r"greater than or equal to 1"),
        ({"sparsity": 0.5, "pattern": "1:4"}, r"'unstructured', '2:4' or 'block'"),
    ],
)
def test_patterns_that_do_not_fit_are_refused(fields, words):
    with pytest.raises(ValidationError, match=words):
        PruneWeights(**fields)


def test_two_of_four_lies_along_the_innermost_axis_of_the_file(small_model, make_context, digits):
    """Where a runtime reads neighbours: [out, height, width, in] and [out, in]."""
    result = prune_weights.apply(small_model, PruneWeights(sparsity=0.5, pattern="2:4"), make_context())
    for export in (Export(format="float32"), Export(format="int8")):
        tflite = parse(convert(result.model, export, calibration=digits.calibration.arrays()[0], progress=Progress()).content)
        weights = [read_constant(tflite, tflite.subgraphs[0].tensors[operator.kernel_index]) for operator in weighted_operators(tflite)]
        kernels = [kernel for kernel in weights if kernel.shape[0] in (24, 10)]  # conv2 and logits
        assert len(kernels) == 2
        for kernel in kernels:
            assert (kernel.reshape(-1, 4) != 0).sum(1).max() == 2
