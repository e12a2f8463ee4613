"""Class names."""

import os

import pytest

from edgecompress.data import load_data
from edgecompress.errors import DataError
from edgecompress.recipe.schema import Data, Task

LATIN = os.fsdecode(b"caf\xe9")


@pytest.fixture
def folder(write_images, tmp_path):
    for name in (LATIN, "tee"):
        write_images(f"images/{name}", *(f"{index:02d}.png" for index in range(10)))
    return tmp_path / "images"


def test_folder_whose_name_no_report_can_hold_is_refused_before_training(folder):
    with pytest.raises(DataError, match=r"class names must be UTF-8\. Received: b'caf\\xe9'\. Rename the folder"):
        load_data(Data(source="image_folder", path=str(folder)), Task(), seed=0)


def test_names_of_the_user_replace_such_a_name(folder, tmp_path):
    (tmp_path / "labels.txt").write_text("caf\u00e9\ntee\n", encoding="utf-8")
    data = load_data(Data(source="image_folder", path=str(folder), labels=str(tmp_path / "labels.txt")), Task(), seed=0)
    assert data.class_names == ["caf\u00e9", "tee"]
