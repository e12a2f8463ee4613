"""Known networks at their full depth: one training step, export, one run. No operator of the file computes in float."""

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.data import load_data
from edgecompress.device.runtime import TfliteModel
from edgecompress.export import convert
from edgecompress.models import load_model
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Data, Export, Task
from edgecompress.recipe.stages import QuantizeAware, Train
from edgecompress.techniques import quantize_aware
from edgecompress.tflite import parse
from edgecompress.tflite.operators import float_operators

pytestmark = pytest.mark.full

layers = keras.layers
NUM_SAMPLES = 40
AUTOENCODER = Task(loss="mean_squared_error", metrics=["mean_squared_error"], target="input")
CLASSIFIER = Task(from_logits=False)


@pytest.fixture
def quantized(make_context, tmp_path):
    """Trains a model quantization-aware on noise for one step; gives the stage's result, the conversion and the samples."""

    def run(model, task, *, high=1.0):
        generator = np.random.default_rng(0)
        samples = generator.uniform(0, high, (NUM_SAMPLES, *model.input_shape[1:])).astype(np.float32)
        labels = np.arange(NUM_SAMPLES) % (2 if task.kind == "autoencoder" else model.output_shape[-1])
        np.savez(tmp_path / "noise.npz", x=samples, y=labels)
        data = load_data(Data(source="npz", path=str(tmp_path / "noise.npz"), batch_size=NUM_SAMPLES), task, seed=0)
        config = QuantizeAware(train=Train(epochs=1, learning_rate=1e-4))
        result = quantize_aware.apply(model, config, make_context(data=data, task=task))
        calibration = data.calibration.arrays()[0]
        return result, convert(result.model, Export(format="int8"), calibration=calibration, progress=Progress()), calibration

    return run


def check(result, conversion, samples):
    """All layers were quantized, and so are all operators; the file runs."""
    assert {record.action for record in result.layers} == {"changed"}
    assert float_operators(parse(conversion.content)) == []
    assert np.isfinite(TfliteModel(conversion.content).predict(samples[:2])).all()


@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "ResNet50", "DenseNet121"])
def test_application_becomes_all_integer(name, quantized):
    model = getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3), classes=10)
    check(*quantized(model, CLASSIFIER, high=255.0 if name in ("MobileNetV3Small", "EfficientNetB0") else 1.0))


@pytest.mark.parametrize(
    ("path", "task"),
    [("ad/ad01.h5", AUTOENCODER), ("ic/pretrainedResnet.h5", CLASSIFIER), ("vww/vww_96.h5", CLASSIFIER),
     ("sww/str_ww_ref_model.h5", CLASSIFIER), ("kws/kws_ref_model", CLASSIFIER)],
)  # fmt: skip
def test_mlperf_tiny_model_becomes_all_integer(path, task, quantized, data_folder):
    check(*quantized(load_model(data_folder / "mlperf_tiny" / path, allow_code=True), task))


def test_u_net_becomes_all_integer(quantized):
    inputs = keras.Input((64, 64, 3))
    x, skips = inputs, []
    for width in (16, 32, 64):
        for _ in range(2):
            x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
            x = layers.Activation("relu")(layers.BatchNormalization()(x))
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(128, 3, padding="same", activation="relu")(x)
    for width, skip in zip((64, 32, 16), reversed(skips), strict=True):
        x = layers.Conv2DTranspose(width, 2, strides=2)(x) if width > 16 else layers.UpSampling2D(interpolation="bilinear")(x)
        x = layers.Conv2D(width, 3, padding="same", activation="relu")(layers.Concatenate()([skip, x]))
    check(*quantized(keras.Model(inputs, layers.Conv2D(3, 1)(x)), AUTOENCODER))
