"""Files in the official formats, written by the tests."""

import gzip
import struct

import numpy as np
import pytest


@pytest.fixture(scope="session")
def idx_bytes():
    """An array of bytes as the content of an idx file: `idx_bytes(array)`."""

    def encode(array):
        return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()

    return encode


@pytest.fixture
def write_idx(tmp_path, idx_bytes):
    """Writes the four files of a family: `write_idx(compressed=..., num_train=..., num_test=...)` gives the arrays by file name."""

    def write(*, compressed=True, num_train=40, num_test=20):
        generator = np.random.default_rng(0)
        arrays = {}
        for part, number in (("train", num_train), ("t10k", num_test)):
            arrays[f"{part}-images-idx3-ubyte"] = generator.integers(0, 256, (number, 4, 5), dtype=np.uint8)
            arrays[f"{part}-labels-idx1-ubyte"] = np.arange(number, dtype=np.uint8) % 10
        for name, array in arrays.items():
            content = idx_bytes(array)
            (tmp_path / (name + ".gz" * compressed)).write_bytes(gzip.compress(content) if compressed else content)
        return arrays

    return write


@pytest.fixture
def write_images(tmp_path):
    """Writes images of noise: `write_images("cat", "a.png", "b.jpg", shape=(6, 5, 3))` below `tmp_path`, gives them by name."""
    from edgecompress.backend import tf

    def encode(image, suffix):
        if suffix == ".bmp":
            return bitmap(image)
        return (tf.io.encode_png(image) if suffix == ".png" else tf.io.encode_jpeg(image, quality=95)).numpy()

    def write(folder, *names, shape=(6, 5, 3)):
        images = {}
        for name in names:
            generator = np.random.default_rng([ord(letter) for letter in folder + name])
            images[name] = generator.integers(0, 256, shape, dtype=np.uint8)
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(images[name], path.suffix.lower()))
        return images

    return write


def bitmap(image):
    """A 24-bit Windows bitmap of an image [height, width, 3]."""
    height, width, _ = image.shape
    padding = bytes(-width * 3 % 4)
    rows = b"".join(row[:, ::-1].tobytes() + padding for row in image[::-1])
    header = struct.pack("<2sIHHI", b"BM", 54 + len(rows), 0, 0, 54)
    return header + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(rows), 2835, 2835, 0, 0) + rows


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """No test downloads anything."""
    monkeypatch.setattr("edgecompress.data.keras_download.download", lambda family, class_names: None)
