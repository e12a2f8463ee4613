"""Samples that are one file each: read, decoded and preprocessed inside tf.data, each time that they are drawn."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edgecompress.backend import tf
from edgecompress.data.preprocess import preprocess_batch
from edgecompress.data.source import RawShape
from edgecompress.errors import DataError
from edgecompress.recipe.schema import Preprocess


class FileInputs:
    """Files on disk. Only their paths are in memory.

    Args:
        root: folder that names of files are shown and hashed under.
        paths: of the files, one for each sample; a file may hold several.
        sample_shape: None where files differ.
        decode: from a path, a text tensor, and where in the file the sample starts, an int64, to the sample; runs inside tf.data.
        check: from a path to the shape of its sample; raises DataError where it cannot be read.
        starts: where in its file each sample starts, in a unit that `decode` knows; absent: a file is one sample.
    """

    def __init__(
        self, root: Path, paths: Sequence[Path], sample_shape: RawShape, *,
        decode: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], check: Callable[[Path], RawShape], starts: Sequence[int] = (),
    ) -> None:  # fmt: skip
        self.sample_shape, self._decode, self._check = sample_shape, decode, check
        hasher = hashlib.sha256(str(sample_shape).encode())
        for path in paths:
            facts = path.stat()
            hasher.update(f"{path.relative_to(root).as_posix()}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode(errors="surrogateescape"))
        if any(starts):
            hasher.update(np.asarray(starts, np.int64).tobytes())
        self.content_hash = hasher.digest()
        with tf.device("CPU:0"):
            self._paths = tf.constant([os.fsencode(path) for path in paths])
            self._starts = tf.constant(list(starts) or [0] * len(paths), tf.int64)

    def __len__(self) -> int:
        return int(self._paths.shape[0])

    def batch(self, rows: tf.Tensor, preprocess: Preprocess) -> tf.Tensor:
        """Preprocessed samples, float32 [b, ...], for `rows`, int64 [b]."""

        def sample(row: tf.Tensor) -> tf.Tensor:
            return preprocess_batch(self._decode(self._paths[row], self._starts[row])[tf.newaxis], preprocess)[0]

        return tf.map_fn(sample, rows, fn_output_signature=tf.float32, parallel_iterations=num_cores())

    def digest(self, row: int) -> bytes:
        """Hash of the file and of the place in it."""
        content, start = tf.io.read_file(self._paths[row]).numpy(), int(self._starts[row])
        return hashlib.sha256(content + start.to_bytes(8) if start else content).digest()

    def fault(self, rows: np.ndarray) -> str | None:
        """The first file that cannot be read, or gives a sample of another shape."""
        for row in rows:
            path = Path(os.fsdecode(self._paths[row].numpy()))
            try:
                shape = self._check(path)
            except (DataError, OSError) as error:
                return str(error)
            if any(wanted not in (None, size) for wanted, size in zip(self.sample_shape, shape, strict=True)):
                return f"{path}: must have the shape {list(self.sample_shape)} that it had when it was checked. Received: {list(shape)}."
        return None


def num_cores() -> int:
    """Files that are decoded at the same time."""
    return os.cpu_count() or 1
