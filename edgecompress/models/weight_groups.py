"""The names of groups in a `model.weights.h5`, brought to the ones that tf_keras and Keras 3 look for."""

import re

import h5py

# Where Keras up to 2.14 put a model's layers. tf_keras looks in the other.
OLD_LAYERS, LAYERS = "_layer_checkpoint_dependencies", "layers"


def rename_groups(file: h5py.File) -> None:
    """Changes the names in place; a file that has the usual ones stays as it is.

    Keras on Windows joined names with backslashes. Old Keras kept layers under another name, and may have left gaps when it
    numbered the layers of one class: (conv2d, conv2d_2) is what is (conv2d, conv2d_1) now.
    """
    for name in [name for name in file if "\\" in name]:
        file.move(name, name.replace("\\", "/"))
    _rename_layers(file)


def _rename_layers(group: h5py.Group) -> None:
    """The layers of one model, and of the models in it."""
    if OLD_LAYERS in group and LAYERS not in group:
        group.move(OLD_LAYERS, LAYERS)
        _close_gaps(group[LAYERS])
    for member in group.values():
        if isinstance(member, h5py.Group):
            _rename_layers(member)


def _close_gaps(layers: h5py.Group) -> None:
    """Numbers the layers of each class without gaps, in their order."""
    numbered = [re.fullmatch(r"(.+?)(?:_(\d+))?", name) for name in layers]
    counts: dict[str, int] = {}
    for match in sorted((match for match in numbered if match), key=lambda match: int(match[2] or 0)):
        count = counts.setdefault(match[1], 0)
        counts[match[1]] += 1
        name = f"{match[1]}_{count}" if count else match[1]
        if name != match[0]:
            layers.move(match[0], name)
