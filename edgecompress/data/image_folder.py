"""Source `image_folder`: one folder of images per class. Only paths, sizes and labels are held in memory."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from edgecompress.backend import tf
from edgecompress.data.files import FileInputs, num_cores
from edgecompress.data.source import Part, RawShape, Source
from edgecompress.errors import DataError
from edgecompress.recipe.schema import Preprocess
from edgecompress.recipe.suggestions import did_you_mean

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
OTHER_SUFFIXES = (".gif", ".webp", ".tif", ".tiff", ".jfif", ".jpe", ".avif", ".heic")  # of images that are not read
PNG_16_BIT = re.compile(rb"\x89PNG\r\n\x1a\n.{16}\x10", re.DOTALL)  # signature, length, name, width and height; then bits per channel
PARTS = ("train", "validation", "test")
NUM_CHECKED = 256  # images between two looks at the result while all images are checked


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


def read(root: Path, preprocess: Preprocess, *, needs_labels: bool = True) -> Source:
    """The parts of `root/train/CLASS`, `root/test/CLASS` [, `root/validation/CLASS`], or of `root/CLASS` alone.

    Names of parts may be in capitals. Classes are the folder names in sorted order, images follow in sorted order; hidden files
    and folders and files that are no .png, .jpg, .jpeg or .bmp are passed over, with a warning where they may be images. Every
    image is decoded once here, so that a broken one is found now and not after hours of training.

    Args:
        root: the folder.
        preprocess: says whether images may differ in size (`resize`) and channels (`channels`).
        needs_labels: False: images may also stand in the folder of a part itself; they have no labels then.

    Raises:
        DataError: no such folder, a class without images, an image that cannot be decoded, or images that differ.
    """
    folders = _part_folders(root, needs_labels)
    class_names = [folder.name for folder in _folders(folders["train"])]
    if class_names:
        listed = {name: _list_classes(folder, class_names) for name, folder in folders.items()}
    elif not needs_labels and _images(folders["train"]):
        listed = {name: _list_unlabelled(folder) for name, folder in folders.items()}
    else:
        raise DataError(f"{folders['train']}: must hold one folder of images per class. Received: no folders.")
    paths = [path for part_paths, _ in listed.values() for path in part_paths]
    sample_shape = _common_shape(paths, _read_shapes(paths), preprocess)
    parts = {
        name: Part(
            FileInputs(root, part_paths, sample_shape, decode=lambda path, _: decode(path), check=check_image), labels, str(folders[name])
        )
        for name, (part_paths, labels) in listed.items()
    }
    warnings = tuple(_passed_over(root, folders.values(), has_classes=bool(class_names)) + _coarsened(root, paths))
    return Source(parts["train"], parts.get("validation"), parts.get("test"), class_names or None, warnings)


def _part_folders(root: Path, needs_labels: bool) -> dict[str, Path]:
    """Which folder holds the classes, or the images, of which part."""
    if not root.is_dir():
        raise DataError(f"{root}: data.path must be a folder of images. Received: no such folder.")
    found = _folders(root)
    parts = {folder.name.lower(): folder for folder in found if folder.name.lower() in PARTS}
    train = parts.get("train")
    holds_images = not needs_labels and {folder.name.lower() for folder in found} <= set(PARTS)
    if train is None or not (_folders(train) or (holds_images and _images(train))):
        return {"train": root}
    for folder in found:
        if folder not in parts.values():
            hint = did_you_mean(folder.name, PARTS)
            raise DataError(f"{folder}: beside {train.name}, folders must be named validation or test. Received: {folder.name!r}.{hint}")
    return {name: parts[name] for name in PARTS if name in parts}


def _folders(folder: Path) -> list[Path]:
    """Folders inside, sorted, without hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    """Images inside, sorted."""
    found = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    return sorted(path for path in found if path.is_file())


def _passed_over(root: Path, folders: Collection[Path], *, has_classes: bool) -> list[str]:
    """What looks like images and was not taken, a warning for each kind; `folders` are those of the parts."""
    holders = [holder for folder in folders for holder in (_folders(folder) if has_classes else [folder])]
    suffixes = Counter(path.suffix.lower() for holder in holders for path in holder.iterdir() if not path.name.startswith("."))
    warnings = [
        f"{root}: {suffixes[suffix]} {suffix} files were passed over: images must be {', '.join(SUFFIXES)}."
        for suffix in OTHER_SUFFIXES
        if suffixes[suffix]
    ]
    deeper = [path for holder in holders for path in _folders(holder)]
    loose = [path for folder in folders for path in _images(folder)] if has_classes else []
    for paths, what in ((deeper, "folders inside of folders of images"), (loose, "images outside of the folders of classes")):
        if paths:
            warnings.append(f"{root}: {len(paths)} {what} were passed over, such as {paths[0]}.")
    return warnings


def _coarsened(root: Path, paths: Sequence[Path]) -> list[str]:
    """A warning for images of 16 bits per channel, if there are any."""

    def is_16_bit(path: Path) -> bool:
        with path.open("rb") as file:
            return PNG_16_BIT.match(file.read(25)) is not None

    found = [path for path in paths if path.suffix.lower() == ".png" and is_16_bit(path)]
    if not found:
        return []
    return [f"{root}: {len(found)} images have 16 bits per channel, of which the upper 8 are read, such as {found[0]}."]


def _list_unlabelled(folder: Path) -> tuple[list[Path], np.ndarray]:
    """Images of a part without classes, and labels without columns."""
    paths = _images(folder)
    if not paths:
        raise DataError(f"{folder}: must hold images ({', '.join(SUFFIXES)}). Received: none.")
    return paths, np.zeros((len(paths), 0), np.float32)


def _list_classes(folder: Path, class_names: list[str]) -> tuple[list[Path], np.ndarray]:
    """Images of all classes of a part, class by class, and their labels, int64."""
    paths: list[Path] = []
    labels: list[int] = []
    for class_folder in _folders(folder):
        if class_folder.name not in class_names:
            raise DataError(
                f"{class_folder}: must be one of the classes of train: {', '.join(class_names)}."
                f" Received: {class_folder.name!r}.{did_you_mean(class_folder.name, class_names)}"
            )
        images = _images(class_folder)
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
    shapes = names.map(lambda path: tf.shape(decode(path)), num_parallel_calls=num_cores()).batch(NUM_CHECKED)
    found: list[np.ndarray] = []
    try:
        for batch in shapes.as_numpy_iterator():
            found.append(batch)
    except tf.errors.OpError as error:
        for path in paths[NUM_CHECKED * len(found) :][:NUM_CHECKED]:
            check_image(path)
        raise DataError(f"{paths[0].parent.parent}: images must be readable. Received: {error.message}.") from error
    return np.concatenate(found)


def check_image(path: Path) -> RawShape:
    """Decodes one image; returns its height, width and channels.

    Raises:
        DataError: it is broken; the message names it.
    """
    try:
        return tuple(decode(tf.constant(os.fsencode(path))).shape)
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
