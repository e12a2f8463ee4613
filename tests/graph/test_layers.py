"""What describe_layers says about whole models."""

import numpy as np
import pytest

from edgecompress.backend import keras, model_optimization
from edgecompress.errors import ModelError
from edgecompress.graph.layers import LayerInfo, describe_layers, total
from edgecompress.models.builders import build_model
from edgecompress.recipe.schema import BuilderModel

LAYERS = keras.layers
MLPERF_TINY_MACS = {
    # Banbury et al. (2021), table 2, and the counts of the reference implementations
    "ad/ad01.h5": 264_192,
    "ic/pretrainedResnet.h5": 12_501_632,
    "vww/vww_96.h5": 7_489_664,
}


def small_cnn() -> keras.Model:
    return build_model(BuilderModel(source="builder", name="cnn", width=4), (8, 8, 1), 3, seed=0)


def test_every_field_of_a_layer():
    model = keras.Sequential([keras.Input((6, 6, 2)), LAYERS.Conv2D(5, 3, name="conv")])
    model.layers[0].kernel.assign(np.zeros((3, 3, 2, 5)))
    model.layers[0].bias.assign([0, 1, 2, 0, -1])
    assert describe_layers(model) == [
        LayerInfo(
            name="conv", type="Conv2D", input_shapes=((6, 6, 2),), output_shape=(4, 4, 5), parameters=95, nonzero_parameters=3,
            macs=16 * 9 * 2 * 5, macs_known=True, bytes_float32=380,
        )
    ]  # fmt: skip


def test_parameters_are_those_that_keras_counts():
    model = small_cnn()
    totals = total(describe_layers(model))
    assert totals.parameters == model.count_params()
    assert totals.bytes_float32 == 4 * model.count_params()


def test_layer_that_is_called_twice_counts_macs_twice_and_parameters_once():
    shared = LAYERS.Dense(3, name="shared")
    first, second = keras.Input((4,)), keras.Input((4,))
    model = keras.Model([first, second], LAYERS.Add(name="add")([shared(first), shared(second)]))
    infos = {info.name: info for info in describe_layers(model)}
    assert (infos["shared"].macs, infos["shared"].parameters) == (2 * 12, 15)
    assert infos["add"].input_shapes == ((3,), (3,))


def test_calls_outside_of_the_model_do_not_count():
    layer = LAYERS.Dense(3)
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layer(inputs))
    layer(keras.Input((4,)))
    assert total(describe_layers(model)).macs == 12


def test_nested_models_are_entered_and_their_names_prefixed():
    inner = keras.Sequential([keras.Input((4,)), LAYERS.Dense(4, name="hidden"), LAYERS.ReLU(name="relu")], name="inner")
    inputs = keras.Input((4,))
    outer = keras.Model(inputs, LAYERS.Dense(2, name="logits")(inner(inner(inputs))), name="outer")
    infos = describe_layers(keras.Sequential([keras.Input((4,)), outer]))
    assert [info.name for info in infos] == ["outer/inner/hidden", "outer/inner/relu", "outer/logits"]
    assert [info.macs for info in infos] == [2 * 16, 0, 8]


def test_wrappers_of_quantize_aware_training_are_seen_through():
    model = small_cnn()
    quantized = model_optimization().quantization.keras.quantize_model(model)
    plain = describe_layers(model)
    seen = [info for info in describe_layers(quantized) if info.type != "QuantizeLayer"]
    assert [(info.name, info.type, info.parameters, info.macs) for info in seen] == [
        (info.name, info.type, info.parameters, info.macs) for info in plain
    ]
    assert total(describe_layers(quantized)).macs_known
    assert total(describe_layers(quantized)).nonzero_parameters == total(plain).nonzero_parameters


def test_wrappers_of_pruning_are_seen_through():
    model = small_cnn()
    pruned = model_optimization().sparsity.keras.prune_low_magnitude(model)
    assert describe_layers(pruned) == describe_layers(model)


def test_model_with_unknown_input_shape_is_refused():
    with pytest.raises(ModelError, match=r"known input shape. Received: 'late' of class Sequential"):
        describe_layers(keras.Sequential([LAYERS.Dense(3)], name="late"))


def test_subclassed_model_is_refused_by_name():
    class Net(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(ModelError, match="of class Net"):
        describe_layers(Net())


@pytest.mark.parametrize("path", MLPERF_TINY_MACS)
def test_macs_of_mlperf_tiny_models_are_the_published_ones(data_folder, path):
    model = keras.models.load_model(data_folder / "mlperf_tiny" / path, compile=False)
    totals = total(describe_layers(model))
    assert totals.macs == MLPERF_TINY_MACS[path]
    assert totals.macs_known
    assert totals.parameters == model.count_params()
