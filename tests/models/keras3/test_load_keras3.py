"""Files and objects of Keras 3, as a user brings them: translated, proved, or refused by the name of what stands in the way."""

import json
import warnings
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from edgecompress.backend import keras, keras_3
from edgecompress.errors import ModelError
from edgecompress.models import adopt_model, load_model, read_model, save_model
from edgecompress.models.agreement import check_equal
from edgecompress.models.flatten import nested_models

KERAS_3 = keras_3()
L, ops = KERAS_3.layers, KERAS_3.ops


def network(*, operations: bool = True):
    """Branches, a shared nested model, an activation that Keras 2 lacks, operations, and statistics.

    Keras 3 writes operations into an .h5 file, but does not read them back itself.
    """
    inputs = KERAS_3.Input((8, 8, 3), name="image")
    features = L.Rescaling(1 / 127.5, offset=-1.0, name="scale")(inputs)
    features = L.Conv2D(4, 3, activation="hard_silu", kernel_regularizer=KERAS_3.regularizers.L2(1e-3), name="stem")(features)
    block = KERAS_3.Sequential([KERAS_3.Input((6, 6, 4)), L.Conv2D(4, 1, name="stem"), L.BatchNormalization(name="norm")], name="block")
    if operations:
        features = ops.relu(block(features) + 0.5 * block(block(features)))[:, 1:, 1:]
    else:
        features = L.Add(name="add")([block(features), block(block(features))])
    outputs = L.Dense(5, activation="softmax", name="classes")(L.GlobalAveragePooling2D(name="pool")(features))
    model = KERAS_3.Model(inputs, outputs, name="net")
    model.get_layer("block").get_layer("norm").set_weights([np.full(4, value, np.float32) for value in (1.5, -0.5, 0.3, 2.0)])
    return model


def saved(model, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # .h5 is called legacy; a model that is not built
        model.save(path)
    return path


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_file_is_translated_and_proved(tmp_path, name):
    model = network(operations=name == "model.keras")
    loaded = read_model(saved(model, tmp_path / name))
    (change,) = loaded.changes
    assert change.startswith(f"translated from Keras {KERAS_3.__version__} to Keras 2; largest difference ")
    assert check_equal(model, loaded.model, "loading") <= 1e-6  # the rounding of float32: the two may order their sums differently
    assert nested_models(loaded.model) == []
    assert [layer.name for layer in loaded.model.layers][:3] == ["image", "scale", "stem"]
    assert loaded.model.get_layer("block_stem").count_params() == 20
    assert loaded.model.count_params() == model.count_params()


def test_regularizers_constraints_and_frozen_layers_stay(tmp_path):
    model = network()
    model.get_layer("block").trainable = False
    model.get_layer("classes").kernel_constraint = KERAS_3.constraints.MaxNorm(2.0)
    loaded = load_model(saved(model, tmp_path / "model.keras"))
    assert loaded.get_layer("stem").kernel_regularizer.l2 == np.float32(1e-3)
    assert loaded.get_layer("classes").kernel_constraint.max_value == 2.0
    assert {weight.name.split("/")[0] for weight in loaded.trainable_weights} == {"stem", "classes"}


def test_translated_model_is_saved_and_loaded_like_any_other(tmp_path):
    model = load_model(saved(network(), tmp_path / "model.keras"))
    save_model(model, tmp_path / "again.h5")
    loaded = read_model(tmp_path / "again.h5")
    assert loaded.changes == []
    assert check_equal(model, loaded.model, "loading") == 0.0


def test_same_file_gives_the_same_model_twice(tmp_path):
    path = saved(network(), tmp_path / "model.keras")
    first, second = load_model(path), load_model(path)
    assert first.to_json() == second.to_json()
    assert all(np.array_equal(old, new) for old, new in zip(first.get_weights(), second.get_weights(), strict=True))


def test_objects_come_in_like_files_and_stay_as_they_are():
    model = network()
    before = model.get_weights()
    adopted = adopt_model(model)
    assert "largest difference 0" in adopted.changes[0]
    assert check_equal(model, adopted.model, "adopting") == 0.0
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))


def test_several_inputs_by_name_keep_their_names(tmp_path):
    left, right = KERAS_3.Input((4,), name="left"), KERAS_3.Input((4,), name="right")
    model = KERAS_3.Model({"right": right, "left": left}, L.Subtract(name="difference")([left, right]))
    loaded = load_model(saved(model, tmp_path / "model.keras"))
    values = {"left": np.full((1, 4), 3, np.float32), "right": np.ones((1, 4), np.float32)}
    assert np.array_equal(loaded(values), np.full((1, 4), 2))
    assert sorted(loaded.input_names) == ["left", "right"]


def test_mixed_precision_is_loaded_as_float32(tmp_path):
    model = KERAS_3.Sequential([KERAS_3.Input((4,)), L.Dense(3, dtype="mixed_float16"), L.Activation("softmax", dtype="float32")])
    loaded = read_model(saved(model, tmp_path / "model.keras"))
    assert loaded.changes[0] == "mixed precision replaced by float32"
    assert {layer.compute_dtype for layer in loaded.model.layers} == {"float32"}
    assert np.array_equal(loaded.model.get_weights()[0], model.get_weights()[0])


def test_mixed_precision_of_keras_2_is_loaded_as_float32_too(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, dtype=keras.mixed_precision.Policy("mixed_float16"))])
    for name in ("model.h5", "model.keras"):
        loaded = read_model(saved(model, tmp_path / name))
        assert loaded.changes == ["mixed precision replaced by float32"]
        assert loaded.model.layers[-1].compute_dtype == "float32"


def test_sequential_without_input_shape_takes_the_one_that_is_given(tmp_path):
    path = saved(KERAS_3.Sequential([L.Dense(3)]), tmp_path / "model.keras")
    with pytest.raises(ModelError, match=r"Sequential model must have a known input shape\. Received: none; give it as model\.input_shape"):
        read_model(path)
    assert read_model(path, input_shape=(4,)).model.input_shape == (None, 4)


def test_unknown_lengths_take_the_shape_that_is_given(tmp_path):
    inputs = KERAS_3.Input((None, None, 3))
    model = KERAS_3.Model(inputs, L.GlobalMaxPooling2D()(L.Conv2D(4, 3)(inputs)))
    path = saved(model, tmp_path / "model.keras")
    assert read_model(path).model.input_shape == (None, None, None, 3)
    loaded = read_model(path, input_shape=(10, 12, 3))
    assert loaded.model.input_shape == (None, 10, 12, 3)
    assert loaded.changes[-1] == "input shape fixed to (10, 12, 3)"


def rewritten(path: Path, change) -> Path:
    """The archive with its configuration changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = json.dumps(change(json.loads(members["config.json"]))).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_lambda_is_refused_by_name(tmp_path, monkeypatch):
    inputs = KERAS_3.Input((4,))
    path = saved(KERAS_3.Model(inputs, L.Lambda(lambda x: x + 1)(inputs)), tmp_path / "model.keras")
    monkeypatch.setattr(KERAS_3.saving, "load_model", lambda *_, **__: pytest.fail("the model was made"))
    with pytest.raises(ModelError, match=r"known to run no code\. Received: Lambda, __lambda__\. .*--allow-code"):
        load_model(path)


@pytest.mark.parametrize(
    ("module", "class_name", "registered_name", "reason"),
    [
        ("keras.layers", "TFOpLambda", None, "TFOpLambda of None"),
        ("builtins", "function", "read_file", "function None"),
        ("keras.layers", "TFSMLayer", None, "TFSMLayer"),
        ("keras.src.ops.core", "Map", "Map", "operation Map"),
        ("keras.src.ops.numpy", "Relu", "mine>Relu", "mine>Relu"),
        ("os.path", "Dense", None, "Dense of module os.path"),
        ("mine", "Mine", "mine>Mine", "Mine, Mine of module mine"),
    ],
)
def test_what_runs_code_or_reads_files_is_refused_by_name(tmp_path, monkeypatch, module, class_name, registered_name, reason):
    def change(config):
        layer = config["config"]["layers"][1]
        layer |= {"module": module, "class_name": class_name, "registered_name": registered_name}
        layer["config"] = {key: value for key, value in layer["config"].items() if key == "name"} if class_name != "function" else None
        return config

    model = KERAS_3.Sequential([KERAS_3.Input((4,)), L.Dense(2)])
    path = rewritten(saved(model, tmp_path / "model.keras"), change)
    monkeypatch.setattr(KERAS_3.saving, "load_model", lambda *_, **__: pytest.fail("the model was made"))
    with pytest.raises(ModelError, match=rf"model\.keras: .*known to run no code\. Received: {reason}\. "):
        load_model(path)


def test_function_of_tensorflow_that_reads_files_is_refused_by_name(tmp_path):
    def change(config):
        config["config"]["layers"][1] |= {"class_name": "TFOpLambda", "config": {"name": "read", "function": "io.read_file"}}
        return config

    model = KERAS_3.Sequential([KERAS_3.Input((4,)), L.Dense(2)])
    with pytest.raises(ModelError, match=r"Received: TFOpLambda of io\.read_file\. "):
        load_model(rewritten(saved(model, tmp_path / "model.keras"), change))


class SubNet(KERAS_3.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.dense = L.Dense(2)

    def call(self, inputs):
        return self.dense(inputs)


class OwnLayer(L.Dense):
    pass


def test_subclassed_models_are_refused_by_name(tmp_path):
    model = SubNet(name="mine")
    model(np.ones((1, 4), np.float32))
    path = saved(model, tmp_path / "model.keras")
    with pytest.raises(ModelError, match=r"model must be Functional or Sequential\. Received: the subclassed model SubNet"):
        load_model(path)
    with pytest.raises(ModelError, match=r"^model: model must be Functional or Sequential\. Received: class SubNet, whose graph"):
        adopt_model(model)
    inputs = KERAS_3.Input((4,))
    with pytest.raises(ModelError, match=r"Received: .*SubNet"):
        load_model(saved(KERAS_3.Model(inputs, model(inputs)), tmp_path / "outer.keras"))


def test_layers_of_a_users_own_are_refused_by_name(tmp_path):
    path = saved(KERAS_3.Sequential([KERAS_3.Input((4,)), OwnLayer(3)]), tmp_path / "model.keras")
    with pytest.raises(ModelError, match=r"Received: OwnLayer"):
        load_model(path)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (
            lambda: L.RMSNormalization(name="rms"),
            r"layers must be ones that Keras 2 has too\. Received: RMSNormalization of Keras 3 in 'rms'",
        ),
        (lambda: L.LayerNormalization(rms_scaling=True), r"LayerNormalization must not use rms_scaling, .*\. Received: True in"),
    ],
)
def test_what_keras_2_lacks_is_refused_by_name(tmp_path, layer, reason):
    path = saved(KERAS_3.Sequential([KERAS_3.Input((4,)), layer()]), tmp_path / "model.keras")
    with pytest.raises(ModelError, match=rf"model\.keras: {reason}"):
        load_model(path)


def test_quantized_weights_are_refused(tmp_path):
    model = KERAS_3.Sequential([KERAS_3.Input((4,)), L.Dense(3, name="dense")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.quantize("int8")
    with pytest.raises(ModelError, match=r"weights must not be quantized yet\. Received: QuantizedDTypePolicy in 'dense'"):
        load_model(saved(model, tmp_path / "model.keras"))


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_truncated_file_is_a_model_error_of_one_line(tmp_path, name, kept):
    path = saved(network(operations=name == "model.keras"), tmp_path / name)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ModelError, match=rf"{name}: cannot be loaded as a Keras model: \S") as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


def test_weights_that_do_not_fit_are_a_model_error_of_one_line(tmp_path):
    path = saved(network(), tmp_path / "model.keras")
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (tmp_path / "weights.h5").write_bytes(members["model.weights.h5"])
    with h5py.File(tmp_path / "weights.h5", "r+") as file:
        kernels: list[str] = []
        file.visititems(lambda name, item: kernels.append(name) if getattr(item, "shape", None) == (3, 3, 3, 4) else None)
        del file[kernels[0]]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, (tmp_path / "weights.h5").read_bytes() if name == "model.weights.h5" else content)
    with pytest.raises(ModelError, match=r"model\.keras: cannot be loaded as a Keras model: .*stem") as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


def test_damaged_bytes_load_or_give_a_model_error(tmp_path):
    path = saved(KERAS_3.Sequential([KERAS_3.Input((4,)), L.Dense(3), L.Dense(2)]), tmp_path / "model.keras")
    content, random = path.read_bytes(), np.random.default_rng(0)
    refusals = []
    for _ in range(30):
        damaged = np.frombuffer(content, np.uint8).copy()
        start = random.integers(len(content))
        damaged[start : start + 8] = random.integers(0, 256, damaged[start : start + 8].shape)
        path.write_bytes(damaged.tobytes())
        try:
            load_model(path)
        except ModelError as error:
            refusals.append(str(error))
    assert refusals
    assert not any("\n" in refusal for refusal in refusals)


def test_no_model_at_all_is_refused():
    with pytest.raises(ModelError, match=r"^model: must be a model of tf_keras or Keras 3\. Received: an object of class int\.$"):
        adopt_model(3)
