"""What `compress` is handed, as files of its run folder: there is one way from data to report, and it begins with files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from edgecompress.data.given import part_arrays
from edgecompress.models import save_given_model
from edgecompress.progress import Progress
from edgecompress.store import RunFolder, storage_errors

if TYPE_CHECKING:
    from edgecompress.backend import keras

INPUTS = "inputs"

Samples: TypeAlias = Any  # (x, y) arrays, or a tf.data.Dataset of such pairs, which has no types


@contextmanager
def given_inputs(
    store: RunFolder, model: Any, adopted: keras.Model, data: Samples, test_data: Samples | None, progress: Progress
) -> Iterator[dict[str, dict[str, Any]]]:
    """Stores a user's model and samples as `inputs/`; gives the recipe's sections that name them.

    Where the block fails before it has locked its recipe, the inputs of an earlier call come back: the recipe of that call still
    names them.

    Args:
        store: the run folder.
        model: of the user, in whatever Keras; stored as it is.
        adopted: the same as a model of tf_keras.
        data, test_data: as for `compress`.
        progress: counts the elements of a dataset.

    Raises:
        DataError: the samples have no form that can be read.
        StorageError: the disk is full or read-only.
    """
    final, partial, before = (store.path / name for name in (INPUTS, f".{INPUTS}.partial", f".{INPUTS}.before"))
    with ExitStack() as tidy:
        for folder in (partial, before):
            shutil.rmtree(folder, ignore_errors=True)  # of a killed call
            tidy.callback(shutil.rmtree, folder, ignore_errors=True)
        recipe, sections = store.locked_recipe(), _write(model, adopted, data, test_data, partial, progress)
        with storage_errors(final):
            if final.exists():
                os.replace(final, before)
            os.replace(partial, final)
        for section in sections.values():
            section["path"] = str(final / section["path"])
        try:
            yield sections
        except BaseException:
            if store.locked_recipe() == recipe:
                shutil.rmtree(final, ignore_errors=True)
                if before.exists():
                    os.replace(before, final)
            raise


def _write(
    model: Any, adopted: keras.Model, data: Samples, test_data: Samples | None, folder: Path, progress: Progress
) -> dict[str, dict[str, Any]]:
    """Writes both, which are held in memory here and nowhere later; the sections, with paths below the folder."""
    suffix = "" if test_data is None else "_train"
    arrays = _arrays(data, "data", suffix, adopted, progress)
    if test_data is not None:
        arrays |= _arrays(test_data, "test_data", "_test", adopted, progress)
    path = folder / "data.npz"
    with storage_errors(path):
        folder.mkdir()
        np.savez(path, **arrays)  # type: ignore[arg-type]  # numpy's stub misses **arrays
    return {
        "data": {"source": "npz", "path": path.name, **_layout(adopted, arrays, suffix)},
        "model": {"source": "file", "path": save_given_model(model, folder).name},
    }


def _arrays(samples: Samples, place: str, suffix: str, model: keras.Model, progress: Progress) -> dict[str, np.ndarray]:
    """Samples as arrays, by the names that an .npz has."""

    def is_batched(x: Any, _: Any) -> bool:
        spec = x[model.input_names[0]] if isinstance(x, Mapping) else x
        return bool(spec.shape.rank == len(model.inputs[0].shape))

    return part_arrays(samples, suffix, place, is_batched, progress)


def _layout(model: keras.Model, arrays: Mapping[str, np.ndarray], suffix: str) -> dict[str, Any]:
    """The fields of `data:` that say how the arrays become what the model takes: as they are, but for a channel axis that they lack."""

    def preprocess(name: str, rank: int) -> dict[str, str]:
        return {"channel_axis": "add" if name in arrays and arrays[name].ndim == rank - 1 else "none"}

    ranks = [len(tensor.shape) for tensor in model.inputs]
    if f"x{suffix}" in arrays:
        return {"preprocess": preprocess(f"x{suffix}", ranks[0])}
    return {"inputs": {name: preprocess(name + suffix, rank) for name, rank in zip(model.input_names, ranks, strict=True)}}
