"""Weights of classes in the loss: their formula, their effect, and what is refused before anything is trained."""

import numpy as np
import pytest

import edgecompress as ec
from edgecompress.backend import keras
from edgecompress.data import load_data
from edgecompress.errors import RecipeError
from edgecompress.plan import plan
from edgecompress.recipe import load_recipe, make_recipe
from edgecompress.recipe.schema import Data, Task
from edgecompress.training import fit
from edgecompress.training.class_weights import class_weights

HEAD = "name: x\ndata: {source: digits}\nmodel: {source: builder, name: mlp, train: {epochs: 1"


@pytest.fixture
def unbalanced(tmp_path):
    """Two overlapping clouds: 300 samples of class 0, 30 of class 1."""
    generator = np.random.default_rng(0)
    y = np.repeat([0, 1], [300, 30])
    x = generator.normal(size=(330, 2)).astype(np.float32) + np.float32(1.0) * y[:, None]
    np.savez(tmp_path / "data.npz", x=x, y=y)
    return load_data(Data(source="npz", path=str(tmp_path / "data.npz"), validation=0.1, test=0.1, batch_size=32), Task(), seed=0)


def test_balanced_weights_make_every_class_count_the_same_and_a_sample_one_on_average(unbalanced):
    weights = class_weights(ec.Train(epochs=1, class_weights="balanced"), unbalanced)
    counts = np.bincount(unbalanced.train.labels)
    shares = [weights[label] * counts[label] for label in (0, 1)]
    assert shares[0] == pytest.approx(shares[1])
    assert sum(shares) == pytest.approx(counts.sum())
    assert class_weights(ec.Train(epochs=1), unbalanced) is None


def test_weights_by_name_leave_the_others_at_one(unbalanced):
    assert class_weights(ec.Train(epochs=1, class_weights={"1": 4.0}), unbalanced) == {0: 1.0, 1: 4.0}


def recall_of_the_rare_class(data, make_context, folder, weights):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    folder.mkdir()
    fit(model, ec.Train(epochs=12, learning_rate=2e-2, class_weights=weights), make_context(data=data, folder=folder))
    inputs, labels = data.train.arrays()
    return (model(inputs).numpy().argmax(axis=1) == labels)[labels == 1].mean()


def test_a_rare_class_is_found_more_often_with_weights(unbalanced, make_context, tmp_path):
    recalls = [
        recall_of_the_rare_class(unbalanced, make_context, tmp_path / str(index), weights)
        for index, weights in enumerate((None, "balanced", {"1": 100.0}))
    ]
    assert recalls[0] < 0.4 < recalls[1] < recalls[2] == 1.0


def test_equal_weights_train_the_same_bits(make_context, digits, tmp_path):
    kernels = []
    for index, weights in enumerate((None, {"0": 1.0})):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
        (tmp_path / str(index)).mkdir()
        fit(model, ec.Train(epochs=1, class_weights=weights), make_context(folder=tmp_path / str(index)))
        kernels.append(model.layers[-1].kernel.numpy())
    np.testing.assert_allclose(*kernels, atol=1e-6)  # a product with 1 and another order of the mean


def test_a_class_that_does_not_exist_is_refused_before_anything_is_trained():
    recipe = load_recipe("r.yaml", text=HEAD + ", class_weights: {ten: 2.0}}}")
    with pytest.raises(RecipeError, match=r"class_weights must name classes, of 0, 1, 2, .*Received: 'ten'\."):
        plan(recipe)


def test_tasks_on_values_have_no_class_weights():
    task = {"loss": "mean_squared_error", "metrics": ["mean_squared_error"]}
    model = {"source": "builder", "name": "mlp"}
    stages = [ec.TrainStage(epochs=1, class_weights="balanced")]
    with pytest.raises(RecipeError, match=r"stages\.0: class_weights must be absent for a regression task\. Received: 'balanced'\."):
        make_recipe({"name": "x", "data": {"source": "npz", "path": "x"}, "model": model, "task": task, "stages": stages})


@pytest.mark.parametrize("weights", ["even", "{a: 0}", "{a: -1.0}", "[1.0, 2.0]"])
def test_other_weights_are_refused_with_their_line(weights):
    with pytest.raises(RecipeError, match=r"r\.yaml:3: model\.train\.class_weights"):
        load_recipe("r.yaml", text=HEAD + f", class_weights: {weights}}}}}")
