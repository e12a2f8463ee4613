"""Names of groups of weights that other Keras versions and Windows wrote."""

import h5py
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompress.models.weight_groups import rename_groups


def renamed(*names: str) -> set[str]:
    """All groups of a file that had the groups `names`, after the renaming."""
    with h5py.File("memory.h5", "w", driver="core", backing_store=False) as file:
        for name in names:
            file.create_group(name)
        rename_groups(file)
        found: set[str] = set()
        file.visit(found.add)
        return found


def test_backslashes_become_slashes():
    assert renamed("layers\\conv2d", "layers\\conv2d_1/vars", "vars") == {
        "layers", "layers/conv2d", "layers/conv2d_1", "layers/conv2d_1/vars", "vars",
    }  # fmt: skip


def test_old_name_of_the_layers_is_replaced_at_every_depth():
    old = "_layer_checkpoint_dependencies"
    assert renamed(f"{old}/functional/{old}/dense/vars") == {
        "layers", "layers/functional", "layers/functional/layers", "layers/functional/layers/dense", "layers/functional/layers/dense/vars",
    }  # fmt: skip


@pytest.mark.parametrize("names", [("layers/dense", "layers/dense_2"), ("layers/dense", "_layer_checkpoint_dependencies/dense")])
def test_usual_names_stay(names):
    assert set(names) <= renamed(*names)


@given(st.lists(st.integers(1, 50), unique=True, max_size=12))
def test_numbers_of_a_class_lose_their_gaps_and_keep_their_order(numbers):
    old = "_layer_checkpoint_dependencies"
    with h5py.File("memory.h5", "w", driver="core", backing_store=False) as file:
        for number in (0, *numbers):
            file.create_group(f"{old}/dense_{number}" if number else f"{old}/dense").attrs["number"] = number
        file.create_group(f"{old}/conv2d")
        rename_groups(file)
        in_order = ["dense", *(f"dense_{index}" for index in range(1, len(numbers) + 1))]
        assert [file["layers"][name].attrs["number"] for name in in_order] == [0, *sorted(numbers)]
        assert len(file["layers"]) == len(numbers) + 2
