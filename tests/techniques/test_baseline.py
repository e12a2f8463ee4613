"""The baseline fits the data and the task, wherever it comes from, before anything trains."""

import numpy as np
import pytest

from edgecompress.backend import keras, model_optimization
from edgecompress.data import load_data
from edgecompress.errors import ModelError
from edgecompress.models import read_model, save_model
from edgecompress.recipe.schema import ApplicationModel, BuilderModel, Data, FileModel, Task
from edgecompress.techniques.baseline import bring_model, file_hash

CLASSES = Task()
INPUTS = Task(loss="mean_squared_error", metrics=["mean_squared_error"], target="input")


def bring(config, data, task=CLASSES):
    return bring_model(config, task, data, seed=0, allow_code=False)


@pytest.fixture
def features(tmp_path):
    """10 features of 10 classes: an autoencoder has as many outputs as a classifier."""
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).normal(size=(100, 10)), y=np.arange(100) % 10)
    return lambda task: load_data(Data(source="npz", path=str(tmp_path / "data.npz")), task, seed=0)


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        (
            "autoencoder",
            CLASSES,
            r"^builder autoencoder: outputs must have the shape \(10,\) for this classification task. Received: \(8, 8, 1\)\.$",
        ),
        ("mlp", INPUTS, r"^builder mlp: outputs must have the shape \(8, 8, 1\) for this autoencoder task. Received: \(64,\)\.$"),
    ],
)
def test_a_builder_must_fit_the_task(name, task, message):
    data = load_data(Data(source="digits"), task, seed=0)
    with pytest.raises(ModelError, match=message):
        bring(BuilderModel(source="builder", name=name), data, task)


def test_an_mlp_may_give_features_back(features):
    model = bring(BuilderModel(source="builder", name="mlp", width=4), features(INPUTS), INPUTS).model
    assert model.output_shape == (None, 10)


def test_a_model_in_pruning_wrappers_loses_them(digits, tmp_path):
    pruning = model_optimization().sparsity.keras
    layers = [keras.layers.Conv2D(4, 3, name="conv"), keras.layers.Flatten(name="flatten"), keras.layers.Dense(10, name="logits")]
    plain = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    wrapped = pruning.prune_low_magnitude(plain, pruning.ConstantSparsity(0.5, begin_step=0, frequency=1))
    wrapped.compile("adam", "mse")
    wrapped.fit(np.ones((8, 8, 8, 1)), np.ones((8, 10)), epochs=2, verbose=0, callbacks=[pruning.UpdatePruningStep()])
    save_model(wrapped, tmp_path / "pruned.h5")
    made = bring(FileModel(source="file", path=str(tmp_path / "pruned.h5")), digits)
    assert [layer.name for layer in made.model.layers] == ["conv", "flatten", "logits"]
    assert np.mean(made.model.get_layer("conv").kernel.numpy() == 0) == 0.5
    assert made.changes == ["pruning wrappers removed from 3 layers; largest difference 0 on random inputs"]
    inputs = digits.test.arrays()[0]
    assert np.array_equal(made.model(inputs), wrapped(inputs, training=False))
    assert wrapped.layers[0].name.startswith("prune_low_magnitude")


def test_paths_may_start_in_the_users_own_folder(digits, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    save_model(model, tmp_path / "model.h5")
    config = FileModel(source="file", path="~/model.h5")
    inputs = digits.test.arrays()[0]
    assert np.array_equal(bring(config, digits).model(inputs), model(inputs))
    assert np.array_equal(read_model("~/model.h5").model(inputs), model(inputs))
    assert file_hash(config) == file_hash(FileModel(source="file", path=str(tmp_path / "model.h5")))


def test_weights_may_lie_in_the_users_own_folder(digits, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    network = ApplicationModel(source="application", name="MobileNet", alpha=0.25, input_shape=[32, 32, 1])
    data = load_data(Data(source="digits", preprocess={"resize": [32, 32]}), CLASSES, seed=0)
    model = bring(network, data).model
    model.save_weights(tmp_path / "own.weights.h5")
    config = network.model_copy(update={"weights": "~/own.weights.h5"})
    assert all(
        np.array_equal(*pair)
        for pair in zip(bring_model(config, CLASSES, data, seed=1, allow_code=False).model.get_weights(), model.get_weights(), strict=True)
    )
    assert file_hash(config) is not None
