"""Layers removed by what the validation metric says."""

import pytest

from edgecompress.errors import ModelError, RecipeError
from edgecompress.graph.layers import describe_layers, total
from edgecompress.keeps import mask_of
from edgecompress.models.builders import build_model
from edgecompress.recipe.schema import BuilderModel
from edgecompress.recipe.stages import PruneLayers, Train
from edgecompress.techniques import prune_layers


@pytest.fixture(scope="module")
def resnet():
    return build_model(BuilderModel(source="builder", name="resnet8", width=4), (8, 8, 1), 10, seed=0)


@pytest.fixture
def judging(make_context):
    """A context whose metric is 1 minus 0.1 for each named layer that is missing."""
    import dataclasses

    def make(costs, keeps=()):
        def evaluate(model):
            names = {layer.name for layer in model.layers}
            return {"accuracy": 1.0 - sum(cost for name, cost in costs.items() if name not in names)}

        return dataclasses.replace(make_context(keeps=keeps), evaluate=evaluate)

    return make


COSTS = {
    "block1_add": 0.1,
    "block2_add": 0.3,
    "block3_add": 0.2,
    "block1_conv1": 0.5,
    "block1_conv2": 0.5,
    "block2_conv2": 0.5,
    "block3_conv2": 0.5,
}


def test_the_least_missed_goes_first(resnet, judging):
    costs = {name: cost for name, cost in COSTS.items() if "add" in name}
    result = prune_layers.apply(resnet, PruneLayers(count=2, layers=["*_add"]), judging(costs))
    left = {layer.name for layer in result.model.layers}
    assert [name for name in costs if name not in left] == ["block1_add", "block3_add"]
    reasons = {record.name: record.reason for record in result.layers}
    assert reasons["block1_conv1"] == "gone with block1_add: without it, the validation metric was 0.9000"
    assert reasons["block3_conv2"] == "gone with block3_add: without it, the validation metric was 0.7000"
    assert reasons["block2_add"] == "the validation metric misses it more than those that go"


@pytest.mark.parametrize("fields", [{"macs": 0.7}, {"parameters": 0.6}])
def test_budgets_are_met(fields, resnet, judging):
    result = prune_layers.apply(resnet, PruneLayers(reestimate=False, **fields), judging(COSTS))
    (name, share), before, after = *fields.items(), *(total(describe_layers(model)) for model in (resnet, result.model))
    assert getattr(after, name) <= share * getattr(before, name)


def test_training_follows_and_keeps_of_what_is_gone_are_released(resnet, judging):
    keeps = [mask_of(name, "kernel", resnet.get_layer(name).kernel.numpy()) for name in ("block1_conv1", "conv1")]
    config = PruneLayers(count=1, layers=["block1_add"], train=Train(epochs=1))
    result = prune_layers.apply(resnet, config, judging(COSTS, keeps))
    assert len(result.training) == 1
    assert result.keeps == (keeps[1],)
    assert result.released == ("block1_conv1: sparsity 0.0000, the layer is gone",)


def test_spared_layers_stay(resnet, judging):
    result = prune_layers.apply(resnet, PruneLayers(count=1, skip=["block1*", "block2*"]), judging({}))
    assert {record.name.split("_")[0] for record in result.layers} == {"block3"}


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"count": 50}, ModelError, r"count must be one that can be reached: the nearest is \d+\. Received: 50\."),
        ({"macs": 0.001}, ModelError, r"macs must be one that can be reached: the nearest is 0\.\d+\. Received: 0\.001\."),
        ({"count": 1, "layers": ["blok1_add"]}, RecipeError, "Did you mean 'block1_add'"),
        ({"count": 1, "layers": ["logits"]}, ModelError, "must have a residual branch, or a layer that keeps the shape of its input"),
    ],
)
def test_bad_input_is_refused_by_run_and_plan(fields, error, message, resnet, judging):
    with pytest.raises(error, match=message):
        prune_layers.plan(resnet, PruneLayers(**fields))
    with pytest.raises(error, match=message):
        prune_layers.apply(resnet, PruneLayers(reestimate=False, **fields), judging({}))


def test_targets_must_be_one():
    with pytest.raises(ValueError, match="target must be exactly one of count, macs, parameters"):
        PruneLayers()
    with pytest.raises(ValueError, match="macs must be a fraction"):
        PruneLayers(macs=7.0)
