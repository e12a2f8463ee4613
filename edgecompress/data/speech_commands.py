"""Source `speech_commands`: the official folder of .wav files, one per word, or an .npz of features made of them."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass
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
SILENCE = "_silence_"
SPEAKER = re.compile(r"(?:.*_)?([0-9a-f]+)_nohash_")  # the hash of a speaker, in the name of a recording
GROUP = "speaker"


def read(path: Path, config: schema.Data, task: schema.Task) -> Source:
    """Recordings, or their features.

    Args:
        path: a folder of `WORD/SPEAKER_nohash_NUMBER.wav` files, with validation_list.txt and testing_list.txt if it has its
            own parts; or an .npz with x, y [and files: such names; labels: the class names].
        config: `words`, `silence`, `clip_ms`, `group_by`, `exclude`; `preprocess.mfcc` makes features of recordings.

    Raises:
        DataError: missing or damaged files, or recordings that differ in their sample rate.

    Source: Warden, Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition (2018).
    """
    is_features = path.suffix.lower() == ".npz"
    fields, other = (("words", "silence"), "a folder of recordings") if is_features else (("exclude",), "an .npz of features")
    if unfit := next((field for field in fields if getattr(config, field)), None):
        received = getattr(config, unfit)
        raise DataError(f"data.{unfit}: must be absent for {path}; it works with {other}. Received: {received!r}.")
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


@dataclass(frozen=True)
class _Clip:
    """A sample: of the file `path` what begins at its sample `start`."""

    path: Path
    start: int
    label: int
    group: str


def _read_recordings(root: Path, config: schema.Data) -> Source:
    """A folder of recordings."""
    if not root.is_dir():
        raise DataError(f"{root}: data.path must be a folder of .wav files, one folder per word, or an .npz. Received: no such folder.")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".") and path.name != BACKGROUND)
    class_names = _class_names(root, [folder.name for folder in folders], config)
    clips: list[_Clip] = []
    for folder in folders:
        label = class_names.index(folder.name if folder.name in class_names else UNKNOWN)
        clips += [_Clip(path, 0, label, speaker_of(path.name)) for path in _recordings(folder)]
    noises = _recordings(root / BACKGROUND) if config.silence else []
    num_samples = _sample_rate([*(clip.path for clip in clips), *noises], config) * config.clip_ms // 1000
    parts = _clips_by_part(root, clips)
    if config.silence:
        silence = _cut(noises, num_samples, class_names.index(SILENCE))
        for name, share in _shared_out(silence, {name: len(part) for name, part in parts.items()}).items():
            parts[name] += share

    def decode(path: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
        return decode_wav(path, start, num_samples)

    def check(path: Path) -> RawShape:
        read_format(path)
        return num_samples, 1

    def part(name: str) -> Part:
        paths, starts = [clip.path for clip in parts[name]], [clip.start for clip in parts[name]]
        groups = np.asarray([clip.group for clip in parts[name]]) if config.group_by is not None else None
        inputs = FileInputs(root, paths, (num_samples, 1), decode=decode, check=check, starts=starts)
        return Part(inputs, np.asarray([clip.label for clip in parts[name]], np.int64), f"{name} of {root}", groups)

    validation, test = (part(name) if parts[name] else None for name in LISTS)
    return Source(part("train"), validation, test, class_names)


def _recordings(folder: Path) -> list[Path]:
    """The .wav files of a folder, in sorted order."""
    paths = folder.iterdir() if folder.is_dir() else ()
    found = sorted(path for path in paths if path.suffix.lower() == ".wav" and not path.name.startswith("."))
    if not found:
        raise DataError(f"{folder}: must hold .wav files. Received: none.")
    return found


def _cut(noises: Sequence[Path], num_samples: int, label: int) -> list[_Clip]:
    """Whole clips side by side, so that no two of them share a sound, each in a group of its own."""
    starts = [(path, start) for path in noises for start in range(0, read_format(path).num_samples - num_samples + 1, num_samples)]
    if not starts:
        raise DataError(f"{noises[0].parent}: must hold a recording of {num_samples} samples or more, for silence. Received: shorter ones.")
    return [_Clip(path, start, label, f"{path.name} {start}") for path, start in starts]


def _shared_out(clips: Sequence[_Clip], sizes: dict[str, int]) -> dict[str, list[_Clip]]:
    """The clips given out in turn, to each part as its size asks for."""
    shares: dict[str, list[_Clip]] = {name: [] for name in sizes}
    for number, clip in enumerate(clips, start=1):
        due = {name: number * size / sum(sizes.values()) - len(shares[name]) for name, size in sizes.items()}
        shares[max(due, key=lambda name: due[name])].append(clip)
    return shares


def _class_names(root: Path, folders: list[str], config: schema.Data) -> list[str]:
    """Folders that are a class, in sorted order; with `words` those, and the rest as one behind them; at last silence."""
    words = config.words
    if not folders:
        raise DataError(f"{root}: must hold one folder of .wav files per word. Received: no folders.")
    for word in words:
        if word not in folders:
            raise DataError(f"data.words: must be folders of {root}. Received: {word!r}.{did_you_mean(word, folders)}")
    others = [name for name in folders if name not in words and not (config.silence and name == SILENCE)]
    chosen = [*words, *([UNKNOWN] if others and UNKNOWN not in words else [])] if words else folders
    return [*chosen, *([SILENCE] if config.silence and SILENCE not in chosen else [])]


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


def _clips_by_part(root: Path, clips: Sequence[_Clip]) -> dict[str, list[_Clip]]:
    """What the official lists put into which part; all others are for training."""
    by_name = {clip.path.relative_to(root).as_posix(): clip for clip in clips}
    parts: dict[str, list[_Clip]] = {"train": []}
    taken: set[str] = set()
    for part, file in LISTS.items():
        listed = set((root / file).read_text(encoding="utf-8").split()) if (root / file).is_file() else set()
        if missing := sorted(listed - by_name.keys()):
            raise DataError(f"{root / file}: must name files of the folder. Received: {missing[0]!r}, {len(missing)} such names.")
        parts[part] = [clip for name, clip in by_name.items() if name in listed]
        taken |= listed
    parts["train"] = [clip for name, clip in by_name.items() if name not in taken]
    if not parts["train"]:
        raise DataError(f"{root}: must hold files beside those of {' and '.join(LISTS.values())}. Received: none.")
    return parts
