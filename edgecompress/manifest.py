"""`manifest.json`: all that somebody with the files alone must know to run them: tensors, scales, preprocessing, labels, hashes."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgecompress import __version__
from edgecompress.data import Data
from edgecompress.recipe.schema import Recipe
from edgecompress.samples import each, names_in_file


def manifest(recipe: Recipe, data: Data, artifact: Mapping[str, Any], files: Mapping[str, Path]) -> str:
    """The manifest as JSON text.

    Args:
        recipe: for its name, task and target.
        data: for the preprocessing that the model expects and the class names.
        artifact: the `artifact` section of the report.
        files: name to path of everything that belongs together; hashed here.

    `input_names` are the keys of `preprocess` in the order of `inputs`, for a model of several inputs.
    """
    content = {
        "name": recipe.name,
        "edgecompress_version": __version__,
        "task": recipe.task.model_dump(mode="json"),
        "target": recipe.target.model_dump(mode="json"),
        "preprocess": each(lambda settings: settings.model_dump(mode="json"), data.preprocess),
        "input_names": names_in_file(files["final"], data.input_shape) if isinstance(data.input_shape, Mapping) else None,
        "class_names": data.class_names,
        "format": artifact["format"],
        "inputs": artifact["inputs"],
        "outputs": artifact["outputs"],
        "min_runtime_version": artifact["min_runtime_version"],
        "files": {name: {"path": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()} for name, path in files.items()},
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
