"""The two file formats of Keras models, opened with care: what is checked is exactly what Keras is then given."""

import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from edgecompress.errors import ModelError
from edgecompress.models.weight_groups import rename_groups
from edgecompress.store import storage_errors

MAX_MODEL_BYTES = 4_000_000_000  # of one model's weights; a larger one is a mistake or an attack
MAX_EXPANSION = 100  # times its own size that an archive may unpack to; Keras stores without compression
CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"


@dataclass(frozen=True)
class Opened:
    """A model file that is ready for Keras.

    Attributes:
        source: what `load_model` of that Keras takes.
        keras_version: that wrote it, such as "3.15.1"; "" where the file does not say.
    """

    source: h5py.File | Path
    keras_version: str

    @property
    def is_keras_3(self) -> bool:
        """Keras 3 writes another configuration under the same file names."""
        return self.keras_version.split(".")[0] == "3"


@contextmanager
def opened_h5(path: Path, examine: Callable[[Any], None]) -> Iterator[Opened]:
    """A whole-model .h5 file, after `examine` has seen its configuration: in memory, for Keras 3 in a temporary folder.

    Args:
        path: the file.
        examine: gets the decoded configuration, may change it, and raises ModelError to refuse it.

    Raises:
        ModelError: weights without architecture, references to other files, or what `examine` refuses.
        StorageError: the temporary folder is full.
    """
    if path.stat().st_size > MAX_MODEL_BYTES:
        raise ModelError(f"must have at most {MAX_MODEL_BYTES} bytes. Received: {path.stat().st_size}")
    content = io.BytesIO(path.read_bytes())
    with h5py.File(content, "r+") as file:
        if "model_config" not in file.attrs:
            raise ModelError("must hold a whole model. Received: weights without the architecture; save it with model.save(...)")
        _refuse_outside_data(file)
        config = json.loads(_text(file.attrs["model_config"]))
        examine(config)
        file.attrs["model_config"] = json.dumps(config)
        opened = Opened(file, _text(file.attrs.get("keras_version", "")))
        if not opened.is_keras_3:
            yield opened
            return
    with tempfile.TemporaryDirectory(prefix="edgecompress-") as folder:
        copy = Path(folder, "model.h5")
        with storage_errors(copy):
            copy.write_bytes(content.getbuffer())
        yield Opened(copy, opened.keras_version)


@contextmanager
def opened_archive(path: Path, examine: Callable[[Any], None]) -> Iterator[Opened]:
    """A copy of a .keras archive in a temporary folder: Keras opens the file for writing, which a read-only one does not allow.

    Args:
        path: the archive.
        examine: gets the decoded configuration, may change it, and raises ModelError to refuse it.

    Raises:
        ModelError: no Keras archive, anything else in it, sizes beyond reason, or what `examine` refuses.
        StorageError: the temporary folder is full.
    """
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory(prefix="edgecompress-") as folder:
        _check_members(archive, path.stat().st_size)
        config = json.loads(archive.read(CONFIG))
        metadata = json.loads(archive.read(METADATA)) if METADATA in archive.namelist() else {}
        examine(config)
        weights, copy = Path(folder, WEIGHTS), Path(folder, "model.keras")
        with storage_errors(copy):
            archive.extract(WEIGHTS, folder)
            with h5py.File(weights, "r+") as file:
                _refuse_outside_data(file)
                rename_groups(file)
            with zipfile.ZipFile(copy, "w") as clean:
                clean.writestr(CONFIG, json.dumps(config))
                clean.writestr(METADATA, json.dumps(metadata))
                clean.write(weights, WEIGHTS)
        yield Opened(copy, str(metadata.get("keras_version", "")) if isinstance(metadata, dict) else "")


@contextmanager
def opened_weights(path: Path) -> Iterator[str]:
    """A copy of a file of weights, or of a whole .h5 model, under the name by which Keras tells its form.

    Raises:
        ModelError: missing, no HDF5, or with references to other files; the message names the file.
        StorageError: the temporary folder is full.
    """
    try:
        content = path.read_bytes()
        with h5py.File(io.BytesIO(content), "r") as file:
            _refuse_outside_data(file)
            is_legacy = "layer_names" in file.attrs or "model_weights" in file
    except ModelError as error:
        raise ModelError(f"{path}: {error}.") from error
    except OSError as error:
        raise ModelError(f"{path}: must be a file of weights (.h5). Received: {error.strerror or error}.") from error
    with tempfile.TemporaryDirectory(prefix="edgecompress-") as folder:
        copy = Path(folder, "weights.h5" if is_legacy else "model.weights.h5")
        with storage_errors(copy):
            copy.write_bytes(content)
        yield str(copy)


def _check_members(archive: zipfile.ZipFile, archive_bytes: int) -> None:
    """Refuses archives that are none of Keras', hold anything else (paths that lead outside too), or unpack to too much."""
    members = {member.filename: member.file_size for member in archive.infolist()}
    if missing := [name for name in (CONFIG, WEIGHTS) if name not in members]:
        raise ModelError(f"must be a Keras archive with {CONFIG} and {WEIGHTS}. Received: an archive without {' and '.join(missing)}")
    if others := [name for name in members if name not in (CONFIG, METADATA, WEIGHTS)]:
        raise ModelError(f"must be a Keras archive with {CONFIG}, {METADATA} and {WEIGHTS} only. Received: also {others[0][:100]!r}")
    limit = min(MAX_MODEL_BYTES, MAX_EXPANSION * archive_bytes)
    if sum(members.values()) > limit:
        raise ModelError(f"must unpack to at most {limit} bytes. Received: {sum(members.values())} bytes")


def _refuse_outside_data(file: h5py.File) -> None:
    """HDF5 can refer to other files; Keras would read them as weights. Declared sizes are bounded too."""
    waiting, seen, num_bytes = [file["/"]], set(), 0
    while waiting:
        group = waiting.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:  # a group may hold itself
            continue
        seen.add(address)
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise ModelError(f"must not refer to other files. Received: a link from {name!r} to {link.filename!r}")
            if isinstance(link, h5py.SoftLink):
                raise ModelError(f"must not hold soft links. Received: {name!r}")
            member = group[name]
            if isinstance(member, h5py.Group):
                waiting.append(member)
            elif isinstance(member, h5py.Dataset):
                if member.external or member.is_virtual:
                    raise ModelError(f"must not refer to other files. Received: the weights {member.name!r} outside of it")
                num_bytes += member.size * member.dtype.itemsize
        if num_bytes > MAX_MODEL_BYTES:
            raise ModelError(f"must hold at most {MAX_MODEL_BYTES} bytes of weights. Received: {num_bytes} or more")


def _text(value: Any) -> str:
    """An HDF5 attribute as text; old files hold bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)
