"""What people write today: train, prune, quantization-aware training and int8 conversion with TF-MOT, by hand.

Run by overhead.py, with the numbers of the recipe that it is compared with. Kept as the official guides show it.
"""

import gzip
import os
import sys
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from ai_edge_litert.interpreter import Interpreter


def read_idx(path: Path, offset: int) -> np.ndarray:
    return np.frombuffer(gzip.open(path).read(), np.uint8, offset=offset)


def build() -> keras.Model:
    layers = keras.layers
    model = keras.Sequential([keras.Input((28, 28, 1))])
    for filters in (32, 64):
        for _ in range(2):
            model.add(layers.Conv2D(filters, 3, padding="same", use_bias=False))
            model.add(layers.BatchNormalization(momentum=0.9))
            model.add(layers.ReLU())
        model.add(layers.MaxPooling2D())
        model.add(layers.Dropout(0.25))
    model.add(layers.Flatten())
    model.add(layers.Dense(256, activation="relu"))
    model.add(layers.Dropout(0.4))
    model.add(layers.Dense(10))
    return model


def main(folder: Path, epochs: list[int], limit: int, out: Path) -> None:
    keras.utils.set_random_seed(0)
    x = read_idx(folder / "train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28, 1)[:limit].astype(np.float32) / 255
    y = read_idx(folder / "train-labels-idx1-ubyte.gz", 8)[:limit].astype(np.int32)
    x_test = read_idx(folder / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28, 1).astype(np.float32) / 255
    y_test = read_idx(folder / "t10k-labels-idx1-ubyte.gz", 8).astype(np.int32)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    fit = {"batch_size": 128, "validation_split": 0.1, "verbose": 0}

    model = build()
    model.compile("adam", loss, ["accuracy"])
    model.fit(x, y, epochs=epochs[0], **fit)
    print("baseline", model.evaluate(x_test, y_test, verbose=0)[1])

    steps = -(-int(len(x) * 0.9) // 128)
    schedule = tfmot.sparsity.keras.PolynomialDecay(0.0, 0.6, 0, int(steps * epochs[1] * 2 / 3), frequency=steps // 30)
    pruned = tfmot.sparsity.keras.prune_low_magnitude(model, pruning_schedule=schedule)
    pruned.compile("adam", loss, ["accuracy"])
    pruned.fit(x, y, epochs=epochs[1], callbacks=[tfmot.sparsity.keras.UpdatePruningStep()], **fit)
    model = tfmot.sparsity.keras.strip_pruning(pruned)

    quantized = tfmot.quantization.keras.quantize_model(model)
    quantized.compile(keras.optimizers.Adam(1e-4), loss, ["accuracy"])
    quantized.fit(x, y, epochs=epochs[2], **fit)
    print("quantize-aware", quantized.evaluate(x_test, y_test, verbose=0)[1])

    converter = tf.lite.TFLiteConverter.from_keras_model(quantized)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    out.write_bytes(converter.convert())

    interpreter = Interpreter(str(out))
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero_point = source["quantization"]
    right = 0
    for image, label in zip(x_test, y_test, strict=True):
        interpreter.set_tensor(source["index"], np.clip(np.round(image[None] / scale + zero_point), -128, 127).astype(np.int8))
        interpreter.invoke()
        right += interpreter.get_tensor(target["index"]).argmax() == label
    print("tflite", right / len(y_test))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(number) for number in sys.argv[2].split(",")], int(sys.argv[3]), Path(sys.argv[4]))
