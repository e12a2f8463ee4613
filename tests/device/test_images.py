"""PNG files of every kind come back as the pixels that were stored, and images become what a model takes."""

import struct
import zlib

import numpy as np
import pytest

from edgecompress.device.images import preprocess, read_png

SETTINGS = {"mfcc": None, "resize": None, "scale": 1.0, "mean": [0.0], "std": [1.0], "channels": "keep", "channel_axis": "add"}
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def filtered(kind, row, above, step):
    """The forward filter, byte by byte, as the PNG specification words it."""
    result = []
    for place, value in enumerate(row):
        left = int(row[place - step]) if place >= step else 0
        up = int(above[place])
        corner = int(above[place - step]) if place >= step else 0
        guess = left + up - corner
        paeth = min((left, up, corner), key=lambda neighbour: abs(guess - neighbour))
        result.append((int(value) - (0, left, up, (left + up) // 2, paeth)[kind]) % 256)
    return bytes(result)


def png(rows, width, depth, kind, filters, palette=None, interlaced=0):
    """A PNG file of stored rows, uint8 [height, bytes]."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    step = max(1, CHANNELS[kind] * depth // 8)
    above, body = np.zeros(rows.shape[1], np.uint8), b""
    for number, row in enumerate(rows):
        used = filters[number % len(filters)]
        body += bytes([used]) + filtered(used, row, above, step)
        above = row
    data = zlib.compress(body)
    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(rows), depth, kind, 0, 0, interlaced))]
    parts += [chunk(b"PLTE", palette.tobytes())] if palette is not None else []
    parts += [chunk(b"IDAT", data[:10]), chunk(b"IDAT", data[10:]), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def read(tmp_path, content):
    path = tmp_path / "image.png"
    path.write_bytes(content)
    return read_png(str(path))


@pytest.mark.parametrize("filters", [[0], [1], [2], [3], [4], [4, 1, 3, 2, 0]])
@pytest.mark.parametrize("kind", [0, 2, 4, 6])
def test_every_filter_is_undone(tmp_path, kind, filters):
    pixels = np.random.default_rng(kind).integers(0, 256, (6, 5, CHANNELS[kind]), dtype=np.uint8)
    assert np.array_equal(read(tmp_path, png(pixels.reshape(6, -1), 5, 8, kind, filters)), pixels)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bits_are_spread_over_the_whole_range(tmp_path, depth):
    steps = 2**depth
    values = np.arange(steps)[None, :].repeat(2, 0)  # fills whole bytes but for 1 bit
    bits = ((values[..., None] >> np.arange(depth - 1, -1, -1)) & 1).reshape(2, -1)
    rows = np.packbits(bits, axis=1)
    image = read(tmp_path, png(rows, steps, depth, 0, [0]))
    assert image[0, :, 0].tolist() == [round(255 * value / (steps - 1)) for value in range(steps)]


def test_sixteen_bits_keep_the_upper_eight(tmp_path):
    rows = np.array([[200, 99, 3, 255]], np.uint8)
    assert read(tmp_path, png(rows, 2, 16, 0, [4]))[0, :, 0].tolist() == [200, 3]


def test_palette_becomes_colours(tmp_path):
    palette = np.array([[1, 2, 3], [40, 50, 60], [7, 8, 9]], np.uint8)
    image = read(tmp_path, png(np.array([[2, 0, 1]], np.uint8), 3, 8, 3, [0], palette))
    assert np.array_equal(image[0], palette[[2, 0, 1]])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xd8\xff\xe0 a JPEG", "must be a PNG file. Received: a file of another format"),
        (b"\x89PNG\r\n\x1a\n", "must be a PNG file that can be read"),
        (png(np.zeros((4, 4), np.uint8), 4, 8, 0, [0])[:-30], "must be a PNG file that can be read"),
        (png(np.zeros((4, 4), np.uint8), 4, 8, 0, [0], interlaced=1), "interlaced"),
        (png(np.zeros((4, 4), np.uint8), 40_000, 8, 0, [0]), "must be a PNG file that can be read"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, content, words):
    with pytest.raises(ValueError, match=words):
        read(tmp_path, content)


def test_scale_mean_and_std_are_per_channel():
    image = np.full((2, 2, 3), [255, 51, 0], np.uint8)
    values = preprocess(image, {**SETTINGS, "scale": 1 / 255, "mean": [0.5, 0.1, 0.0], "std": [0.5, 0.1, 2.0]}, [2, 2, 3])
    assert values.dtype == np.float32
    assert values[0, 0] == pytest.approx([1.0, 1.0, 0.0], abs=1e-6)


def test_channels_follow_the_model():
    colour, alpha = np.full((2, 2, 3), [10, 20, 30], np.uint8), np.full((2, 2, 2), [9, 255], np.uint8)
    assert preprocess(colour, SETTINGS, [2, 2, 1])[0, 0, 0] == pytest.approx(0.299 * 10 + 0.587 * 20 + 0.114 * 30, rel=1e-6)
    assert preprocess(alpha, SETTINGS, [2, 2, 3])[0, 0].tolist() == [9, 9, 9]


def test_an_image_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"must have 4 x 4 pixels \(height x width\). Received: 2 x 3"):
        preprocess(np.zeros((2, 3, 1), np.uint8), SETTINGS, [4, 4, 1])


def test_a_model_without_images_is_refused():
    with pytest.raises(ValueError, match="no images"):
        preprocess(np.zeros((2, 3, 1), np.uint8), SETTINGS, [40])
