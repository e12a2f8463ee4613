"""A user's own files: what belongs to them, and that what runs is what is on disk now."""

import pytest

from edgecompress.errors import ModelError
from edgecompress.user_code import call_function, code_hash, source_files


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A file that imports a package beside it, which imports itself; and the current folder."""
    (tmp_path / "blocks").mkdir()
    (tmp_path / "blocks/__init__.py").write_text("")
    (tmp_path / "blocks/wide.py").write_text("from . import sizes\n")
    (tmp_path / "blocks/sizes.py").write_text("WIDTH = 1\n")
    (tmp_path / "model.py").write_text("import json\nimport numpy\nfrom blocks import wide\n\ndef make():\n    return wide.sizes.WIDTH\n")
    (tmp_path / "unused.py").write_text("raise SystemExit\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("module", ["model.py", "{folder}/model.py", "model"])
def test_a_function_s_code_is_its_file_and_what_it_imports_beside_it(code, module):
    place = f"{module.format(folder=code)}:make"
    names = ["blocks/__init__.py", "blocks/sizes.py", "blocks/wide.py", "model.py"]
    assert source_files(place) == [code / name for name in names]


@pytest.mark.parametrize("module", ["model.py", "model"])
def test_what_runs_is_what_is_on_disk_now(code, module):
    place = f"{module}:make"
    assert call_function(place, ModelError, "model.path", allow_code=True) == 1
    before = code_hash(place)
    (code / "blocks/sizes.py").write_text("WIDTH = 22\n")
    assert call_function(place, ModelError, "model.path", allow_code=True) == 22
    assert code_hash(place) != before
    (code / "unused.py").write_text("")
    assert code_hash(place) == code_hash(f"{code}/model.py:make")


def test_installed_code_is_its_own_file_alone(code):
    assert [path.name for path in source_files("json.decoder:JSONDecoder")] == ["decoder.py"]
    assert source_files("no_such_module:make") == []
    assert code_hash("no_such_module:make") is None


def test_a_file_with_a_mistake_is_told_by_its_import(code):
    (code / "model.py").write_text("def make(:\n")
    assert source_files("model.py:make") == [code / "model.py"]
    with pytest.raises(ModelError, match=r"model\.path: model\.py:make must run without an error\. Received: SyntaxError: "):
        call_function("model.py:make", ModelError, "model.path", allow_code=True)
