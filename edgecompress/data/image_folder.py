"""Source `image_folder`: one folder of images per class. Only paths, sizes and labels are held in memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgecompress.backend import tf
from edgecompress.data.preprocess import preprocess_batch
from edgecompress.data.source import Part, Source
from edgecompress.errors import DataError
from edgecompress.recipe.schema import Preprocess
from edgecompress.recipe.suggestions import did_you_mean

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
PARTS = ("train", "validation", "test")
NUM_CHECKED = 256  # images between two looks at the result while all images are checked


class ImageFiles:
    """Images on disk, read and decoded inside tf.data, each time that they are drawn.

    Args:
        root: folder that names of images are shown and hashed under.
        paths: of the images.
        sample_shape: (height, width, channels); None where images differ.
    """

    def __init__(self, root: Path, paths: Sequence[Path], sample_shape: tuple[int | None, ...]) -> None:
        self.sample_shape = sample_shape
        hasher = hashlib.sha256()
        for path in paths:
            facts = path.stat()
            hasher.update(f"{path.relative_to(root).as_posix()}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode(errors="surrogateescape"))
        self.content_hash = hasher.digest()
        with tf.device("CPU:0"):
            self._paths = tf.constant([os.fsencode(path) for path in paths])

    def __len__(self) -> int:
        return int(self._paths.shape[0])

    def batch(self, rows: tf.Tensor, preprocess: Preprocess) -> tf.Tensor:
        """Preprocessed images, float32 [b, height, width, channels], for `rows`, int64 [b]."""

        def image(row: tf.Tensor) -> tf.Tensor:
            return preprocess_batch(decode(self._paths[row])[tf.newaxis], preprocess)[0]

        return tf.map_fn(image, rows, fn_output_signature=tf.float32, parallel_iterations=_num_cores())

    def digest(self, row: int) -> bytes:
        """Hash of the file."""
        return hashlib.sha256(tf.io.read_file(self._paths[row]).numpy()).digest()


def decode(path: tf.Tensor) -> tf.Tensor:
    """Reads one image, as uint8 [height, width, channels]; 16-bit PNG files lose their lower byte.

    JPEG files are decoded by the exact integer transform, so that Pillow on a device sees the same pixels.
    """
    content = tf.io.read_file(path)
    image = tf.cond(
        tf.io.is_jpeg(content),
        lambda: tf.io.decode_jpeg(content, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(content, expand_animations=False),
    )
    return tf.ensure_shape(image, [None, None, None])


def read(root: Path, preprocess: Preprocess) -> Source:
    """The parts of `root/train/CLASS`, `root/test/CLASS` [, `root/validation/CLASS`], or of `root/CLASS` alone.

    Classes are the folder names in sorted order, images follow in sorted order; hidden files and folders and files that
    are no .png, .jpg, .jpeg or .bmp are passed over. Every image is decoded once here, so that a broken one is found now and not
    after hours of training.

    Args:
        root: the folder.
        preprocess: says whether images may differ in size (`resize`) and channels (`channels`).

    Raises:
        DataError: no such folder, a class without images, an image that cannot be decoded, or images that differ.
    """
    folders = _part_folders(root)
    class_names = [folder.name for folder in _folders(folders["train"])]
    if not class_names:
        raise DataError(f"{folders['train']}: must hold one folder of images per class. Received: no folders.")
    listed = {name: _list_images(folder, class_names) for name, folder in folders.items()}
    paths = [path for part_paths, _ in listed.values() for path in part_paths]
    sample_shape = _common_shape(paths, _read_shapes(paths), preprocess)
    parts = {
        name: Part(ImageFiles(root, part_paths, sample_shape), labels, str(folders[name])) for name, (part_paths, labels) in listed.items()
    }
    return Source(parts["train"], parts.get("validation"), parts.get("test"), class_names)


def _part_folders(root: Path) -> dict[str, Path]:
    """Which folder holds the classes of which part."""
    if not root.is_dir():
        raise DataError(f"{root}: data.path must be a folder of images. Received: no such folder.")
    found = _folders(root)
    if not any(folder.name == "train" and _folders(folder) for folder in found):
        return {"train": root}
    for folder in found:
        if folder.name not in PARTS:
            hint = did_you_mean(folder.name, PARTS)
            raise DataError(f"{folder}: beside train, folders must be named validation or test. Received: {folder.name!r}.{hint}")
    return {name: root / name for name in PARTS if root / name in found}


def _folders(folder: Path) -> list[Path]:
    """Folders inside, sorted, without hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _list_images(folder: Path, class_names: list[str]) -> tuple[list[Path], np.ndarray]:
    """Images of all classes of a part, class by class, and their labels, int64."""
    paths: list[Path] = []
    labels: list[int] = []
    for class_folder in _folders(folder):
        if class_folder.name not in class_names:
            raise DataError(
                f"{class_folder}: must be one of the classes of train: {', '.join(class_names)}."
                f" Received: {class_folder.name!r}.{did_you_mean(class_folder.name, class_names)}"
            )
        images = sorted(
            path for path in class_folder.iterdir()
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
        )  # fmt: skip
        if not images:
            raise DataError(f"{class_folder}: must hold images of its class ({', '.join(SUFFIXES)}). Received: none.")
        paths += images
        labels += [class_names.index(class_folder.name)] * len(images)
    if not paths:
        raise DataError(f"{folder}: must hold one folder of images per class. Received: no folders.")
    return paths, np.asarray(labels, dtype=np.int64)


def _read_shapes(paths: Sequence[Path]) -> np.ndarray:
    """Decodes every image; returns (height, width, channels) of each, int [n, 3]."""
    names = tf.data.Dataset.from_tensor_slices([os.fsencode(path) for path in paths])
    shapes = names.map(lambda path: tf.shape(decode(path)), num_parallel_calls=_num_cores()).batch(NUM_CHECKED)
    found: list[np.ndarray] = []
    try:
        for batch in shapes.as_numpy_iterator():
            found.append(batch)
    except tf.errors.OpError as error:
        for path in paths[NUM_CHECKED * len(found) :][:NUM_CHECKED]:
            _check_image(path)
        raise DataError(f"{paths[0].parent.parent}: images must be readable. Received: {error.message}.") from error
    return np.concatenate(found)


def _check_image(path: Path) -> None:
    """Decodes one image, to tell which one is broken."""
    try:
        decode(tf.constant(os.fsencode(path)))
    except tf.errors.OpError as error:
        reason = error.message.partition("}} ")[2].partition(" [Op:")[0] or error.message
        raise DataError(f"{path}: must be a whole image. Received: {reason.rstrip('.')}.") from error


def _common_shape(paths: Sequence[Path], shapes: np.ndarray, preprocess: Preprocess) -> tuple[int | None, ...]:
    """The shape of all images, None where they differ; refuses a difference that preprocessing does not remove."""
    for axes, cure, is_cured in (
        (slice(0, 2), "resize", preprocess.resize is not None),
        (slice(2, 3), "channels", preprocess.channels != "keep"),
    ):
        other = np.flatnonzero((shapes[:, axes] != shapes[0, axes]).any(axis=1))
        if len(other) and not is_cured:
            first, second = (f"{paths[index]} is {' x '.join(str(size) for size in shapes[index])}" for index in (0, other[0]))
            raise DataError(
                f"data.preprocess.{cure}: must be given where images differ (height x width x channels). Received: {first}, {second}."
            )
    return tuple(int(sizes[0]) if (sizes == sizes[0]).all() else None for sizes in shapes.T)


def _num_cores() -> int:
    return os.cpu_count() or 1
