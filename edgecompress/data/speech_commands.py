"""Source `speech_commands`: the official folder of .wav files, one per word, or an .npz of features made of them."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgecompress.backend import tf
from edgecompress.data import npz
from edgecompress.data.array_parts import ArrayParts
from edgecompress.data.files import FileInputs
from edgecompress.data.source import Part, RawShape, Source
from edgecompress.data.wav import decode_wav, read_format
from edgecompress.errors import DataError
from edgecompress.recipe import schema
from edgecompress.recipe.suggestions import did_you_mean

LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
BACKGROUND = "_background_noise_"  # long recordings, no words
UNKNOWN = "_unknown_"
SPEAKER = re.compile(r"(?:.*_)?([0-9a-f]+)_nohash_")  # the hash of a speaker, in the name of a recording
GROUP = "speaker"


def read(path: Path, config: schema.Data, task: schema.Task) -> Source:
    """Recordings, or their features.

    Args:
        path: a folder of `WORD/SPEAKER_nohash_NUMBER.wav` files, with validation_list.txt and testing_list.txt if it has its
            own parts; or an .npz with x, y [and files: such names; labels: the class names].
        config: `words`, `clip_ms`, `group_by`, `exclude`; `preprocess.mfcc` makes features of recordings.

    Raises:
        DataError: missing or damaged files, or recordings that differ in their sample rate.

    Source: Warden, Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition (2018).
    """
    is_features = path.suffix.lower() == ".npz"
    if unfit := (is_features and config.words) or (not is_features and config.exclude):
        field, other = ("words", "a folder of recordings") if is_features else ("exclude", "an .npz of features")
        raise DataError(f"data.{field}: must be absent for {path}; it works with {other}. Received: {unfit!r}.")
    return _read_features(path, config, task) if is_features else _read_recordings(path, config)


def speaker_of(name: str) -> str:
    """The hash of the speaker in a file's name; where there is none, the name: a group of its own."""
    found = SPEAKER.match(name.rpartition("/")[2])
    return found[1] if found else name


def _read_features(path: Path, config: schema.Data, task: schema.Task) -> Source:
    """An .npz of features."""
    with npz.opened(path) as arrays:
        speakers = {}
        for suffix in ("", "_train", "_validation", "_test"):
            if config.group_by is not None and f"files{suffix}" in arrays:
                speakers[GROUP + suffix] = np.asarray([speaker_of(str(name)) for name in arrays[f"files{suffix}"]])
        names = [str(name) for name in arrays["labels"]] if "labels" in arrays else None
        return ArrayParts(str(path), ChainMap(speakers, arrays), config, task, names).source()  # type: ignore[arg-type]  # it only reads


def _read_recordings(root: Path, config: schema.Data) -> Source:
    """A folder of recordings."""
    if not root.is_dir():
        raise DataError(f"{root}: data.path must be a folder of .wav files, one folder per word, or an .npz. Received: no such folder.")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".") and path.name != BACKGROUND)
    class_names = _class_names(root, [folder.name for folder in folders], config.words)
    paths: list[Path] = []
    labels: list[int] = []
    for folder in folders:
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".wav" and not path.name.startswith("."))
        if not found:
            raise DataError(f"{folder}: must hold .wav files. Received: none.")
        paths += found
        labels += [class_names.index(folder.name if folder.name in class_names else UNKNOWN)] * len(found)
    num_samples = _sample_rate(paths, config) * config.clip_ms // 1000

    def decode(path: tf.Tensor) -> tf.Tensor:
        return decode_wav(path, num_samples)

    def check(path: Path) -> RawShape:
        read_format(path)
        return num_samples, 1

    rows = _rows_by_part(root, [path.relative_to(root).as_posix() for path in paths])

    def part(name: str) -> Part:
        chosen = [paths[row] for row in rows[name]]
        groups = np.asarray([speaker_of(path.name) for path in chosen]) if config.group_by is not None else None
        inputs = FileInputs(root, chosen, (num_samples, 1), decode=decode, check=check)
        return Part(inputs, np.asarray(labels, np.int64)[rows[name]], f"{name} of {root}", groups)

    validation, test = (part(name) if rows[name] else None for name in LISTS)
    return Source(part("train"), validation, test, class_names)


def _class_names(root: Path, folders: list[str], words: list[str]) -> list[str]:
    """Folders that are a class, in sorted order; with `words` those, and the rest as one behind them."""
    if not folders:
        raise DataError(f"{root}: must hold one folder of .wav files per word. Received: no folders.")
    for word in words:
        if word not in folders:
            raise DataError(f"data.words: must be folders of {root}. Received: {word!r}.{did_you_mean(word, folders)}")
    others = [name for name in folders if name not in words]
    return [*words, *([UNKNOWN] if others and UNKNOWN not in words else [])] if words else folders


def _sample_rate(paths: Sequence[Path], config: schema.Data) -> int:
    """The one sample rate of all files; every header is read."""
    first = read_format(paths[0]).sample_rate
    for path in paths:
        rate = read_format(path).sample_rate
        if rate != first:
            raise DataError(f"{path}: all .wav files must have one sample rate, {first} hertz as {paths[0]}. Received: {rate} hertz.")
    mfcc = config.preprocess.mfcc
    if mfcc is not None and mfcc.sample_rate != first:
        raise DataError(f"data.preprocess.mfcc.sample_rate: must be that of the files, {first} hertz. Received: {mfcc.sample_rate}.")
    return first


def _rows_by_part(root: Path, names: Sequence[str]) -> dict[str, list[int]]:
    """Which files the official lists put into which part; all others are for training."""
    rows: dict[str, list[int]] = {"train": list(range(len(names)))}
    index = {name: row for row, name in enumerate(names)}
    for part, file in LISTS.items():
        listed = (root / file).read_text(encoding="utf-8").split() if (root / file).is_file() else []
        if missing := [name for name in listed if name not in index]:
            raise DataError(f"{root / file}: must name files of the folder. Received: {missing[0]!r}, {len(missing)} such names.")
        rows[part] = sorted(index[name] for name in listed)
    taken = set(rows["validation"]) | set(rows["test"])
    rows["train"] = [row for row in rows["train"] if row not in taken]
    if not rows["train"]:
        raise DataError(f"{root}: must hold files beside those of {' and '.join(LISTS.values())}. Received: none.")
    return rows
