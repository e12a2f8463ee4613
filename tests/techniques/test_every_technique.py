"""The contract that every technique keeps; a new line in TECHNIQUES needs one in EXAMPLES, and is tested here."""

from importlib import import_module

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.keeps import find_variable
from edgecompress.models import load_model, save_model
from edgecompress.models.copying import copy_model
from edgecompress.recipe.stages import (
    TECHNIQUES,
    ClusterWeights,
    CorrectBias,
    Distill,
    Equalize,
    Factorize,
    Match,
    MergeLinear,
    PruneChannels,
    PruneLayers,
    PruneNeurons,
    PruneWeights,
    QuantizeAware,
    RemoveDead,
    ReplaceConvolutions,
    RoundWeights,
    StageConfig,
    Train,
    TrainStage,
)
from edgecompress.recipe.stages.distill import Scaled
from edgecompress.techniques import train

EXAMPLES: dict[str, StageConfig] = {
    "train": TrainStage(epochs=1),
    "prune_channels": PruneChannels(macs=0.6, criterion="l1", round_to=4, train=Train(epochs=1)),
    "prune_layers": PruneLayers(count=1, layers=["depthwise"], train=Train(epochs=1)),
    "prune_neurons": PruneNeurons(parameters=0.5, criterion="l1", round_to=1, train=Train(epochs=1)),
    "prune_weights": PruneWeights(sparsity=0.5, train=Train(epochs=1)),
    "cluster_weights": ClusterWeights(clusters=8, train=Train(epochs=1)),
    "distill": Distill(student=Scaled(scale=0.5), train=Train(epochs=1)),
    "factorize": Factorize(ratio=0.5, timed_as=None, train=Train(epochs=1)),
    "replace_convolutions": ReplaceConvolutions(match=Match(epochs=1), timed_as=None, train=Train(epochs=1)),
    "merge_linear": MergeLinear(),
    "remove_dead": RemoveDead(),
    "equalize": Equalize(),
    "correct_bias": CorrectBias(),
    "round_weights": RoundWeights(iterations=50),
    "quantize_aware": QuantizeAware(train=Train(epochs=1, learning_rate=1e-4)),
}
NEUTRAL: dict[str, StageConfig] = {
    "prune_channels": PruneChannels(fraction=0.0),
    "prune_layers": PruneLayers(count=0),
    "prune_neurons": PruneNeurons(fraction=0.0, round_to=1),
    "prune_weights": PruneWeights(sparsity=0.0),
    "factorize": Factorize(energy=1.0),
}


def apply(name, model, context, config=None):
    keras.utils.set_random_seed(context.seed)
    return import_module(TECHNIQUES[name].module).apply(model, config or EXAMPLES[name], context)


def test_every_technique_has_an_example():
    assert set(EXAMPLES) == set(TECHNIQUES)


@pytest.fixture(scope="module")
def small_model(small_model):
    """With a hidden Dense layer too, so that every technique finds something to work on."""
    hidden = keras.layers.Dense(16, "relu", name="hidden")(small_model.get_layer("flatten").output)
    return copy_model(keras.Model(small_model.inputs, keras.layers.Dense(10, name="logits")(hidden)))


@pytest.fixture(scope="module", params=sorted(TECHNIQUES))
def applied(request, small_model, digits, tmp_path_factory):
    from edgecompress.progress import Progress
    from edgecompress.recipe.schema import Task
    from edgecompress.stage import Context

    def context():
        folder = tmp_path_factory.mktemp("stage")
        return Context("01 test", digits, Task(), 7, small_model, (), folder, Progress(), lambda model: {"accuracy": 0.5})

    before = [weight.copy() for weight in small_model.get_weights()]
    return request.param, before, apply(request.param, small_model, context()), apply(request.param, small_model, context())


def test_input_is_untouched(applied, small_model):
    _, before, _, _ = applied
    assert all((was == now).all() for was, now in zip(before, small_model.get_weights(), strict=True))
    assert not any(variable.constraint for variable in small_model.weights)


def test_same_seed_gives_same_bits(applied):
    _, _, first, second = applied
    assert all((one == two).all() for one, two in zip(first.model.get_weights(), second.model.get_weights(), strict=True))


def test_shapes_are_kept(applied, small_model):
    _, _, result, _ = applied
    assert result.model.input_shape == small_model.input_shape
    assert result.model.output_shape == small_model.output_shape


def test_saved_model_loads_with_the_same_outputs(applied, digits, tmp_path):
    _, _, result, _ = applied
    save_model(result.model, tmp_path / "model.h5")
    inputs = digits.calibration.arrays()[0][:32]
    np.testing.assert_array_equal(load_model(tmp_path / "model.h5")(inputs), result.model(inputs))


def test_result_converts_to_int8(applied, digits):
    from edgecompress.export import convert
    from edgecompress.progress import Progress
    from edgecompress.recipe.schema import Export

    _, _, result, _ = applied
    assert convert(result.model, Export(format="int8"), calibration=digits.calibration.arrays()[0], progress=Progress()).content


def test_keeps_survive_a_later_training(applied, make_context):
    _, _, result, _ = applied
    trained = train.apply(result.model, TrainStage(epochs=1), make_context(keeps=result.keeps))
    for keep in result.keeps:
        assert keep.held(find_variable(trained.model, keep.layer, keep.weight).numpy()), keep


@pytest.mark.parametrize("name", sorted(NEUTRAL))
def test_neutral_setting_is_the_identity(name, small_model, make_context):
    result = apply(name, small_model, make_context(), NEUTRAL[name])
    assert all((one == two).all() for one, two in zip(result.model.get_weights(), small_model.get_weights(), strict=True))


def test_plan_says_of_each_layer_what_apply_does(applied, small_model, make_context):
    name, before, result, _ = applied
    outlook = [make_context(baseline=small_model).outlook] if TECHNIQUES[name].plans_with_outlook else []
    planned, records = import_module(TECHNIQUES[name].module).plan(small_model, EXAMPLES[name], *outlook)
    assert {(record.name, record.action) for record in records} == {(record.name, record.action) for record in result.layers}
    assert planned.output_shape == small_model.output_shape
    assert all((was == now).all() for was, now in zip(before, small_model.get_weights(), strict=True))
