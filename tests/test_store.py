"""The run folder: atomic files, the lock, stages that are whole or absent."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from edgecompress.errors import RunLocked, StorageError
from edgecompress.store import RunFolder, content_key, write_atomic


def test_atomic_write_replaces_the_whole_file(tmp_path):
    path = tmp_path / "file.txt"
    write_atomic(path, "first, and longer")
    write_atomic(path, b"second")
    assert path.read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    write_atomic(path, "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"file\.txt: cannot be written: the disk is full"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


@pytest.mark.parametrize("path", ["file", "file/run"])
def test_a_file_in_the_way_of_the_run_folder_is_a_storage_error(tmp_path, path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError, match=r"cannot be written: a .*file"), RunFolder(tmp_path / path):
        pass


def test_keys_depend_on_content_not_on_order_of_mappings():
    assert content_key({"a": 1, "b": [2, 3]}, "x") == content_key({"b": [2, 3], "a": 1}, "x")
    assert content_key({"a": 1}) != content_key({"a": 2})
    assert content_key("a", "b") != content_key("b", "a")


def test_second_holder_is_refused_and_the_first_release_frees(tmp_path):
    with RunFolder(tmp_path / "run"), pytest.raises(RunLocked, match="another process"), RunFolder(tmp_path / "run"):
        pass
    with RunFolder(tmp_path / "run"):
        pass


def test_lock_of_a_killed_process_is_free_again(tmp_path):
    code = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from edgecompress.store import RunFolder
        with RunFolder(Path(sys.argv[1])):
            print("held", flush=True)
            time.sleep(60)
    """)
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(RunLocked), RunFolder(tmp_path):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    with RunFolder(tmp_path):
        pass


def test_stage_is_finished_only_after_commit_and_only_for_its_key(tmp_path):
    with RunFolder(tmp_path) as store:
        folder = store.stage(1, "train", "key one")
        (folder.begin() / "model.h5").write_text("weights")
        assert folder.finished() is None
        folder.commit({"report": {"seconds": 1}})
        assert store.stage(1, "train", "key one").finished() == {"report": {"seconds": 1}, "key": "key one"}
        assert store.stage(1, "train", "key two").finished() is None
        assert (folder.final / "model.h5").read_text() == "weights"


def test_half_finished_stage_is_continued_for_its_key_and_forgotten_for_another(tmp_path):
    with RunFolder(tmp_path) as store:
        (store.stage(1, "train", "key one").begin() / "training.npz").write_text("epoch 3")
        assert (store.stage(1, "train", "key one").begin() / "training.npz").exists()
        assert not (store.stage(1, "train", "key two").begin() / "training.npz").exists()


def test_damaged_record_means_the_work_is_done_again(tmp_path):
    with RunFolder(tmp_path) as store:
        folder = store.stage(0, "baseline", "key")
        folder.begin()
        folder.commit({})
        (folder.final / "record.json").write_text('{"key": "ke')
        assert folder.finished() is None


def test_fresh_forgets_stages(tmp_path):
    with RunFolder(tmp_path) as store:
        folder = store.stage(0, "baseline", "key")
        folder.begin()
        folder.commit({})
    with RunFolder(tmp_path, fresh=True) as store:
        assert store.stage(0, "baseline", "key").finished() is None


def test_stages_of_another_recipe_are_removed(tmp_path):
    with RunFolder(tmp_path) as store:
        for index in range(3):
            folder = store.stage(index, "train", "key")
            folder.begin()
            folder.commit({})
        store.keep_only({"00-train"})
        assert [path.name for path in (tmp_path / "stages").iterdir()] == ["00-train"]


def test_kill_between_record_and_rename_loses_nothing(tmp_path, monkeypatch):
    with RunFolder(tmp_path) as store:
        folder = store.stage(0, "baseline", "key")
        (folder.begin() / "training.npz").write_text("epoch 3")
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "rmtree", lambda *_, **__: None)
            patch.setattr("edgecompress.store.os.replace", _killed_at_folders)
            with pytest.raises(KeyboardInterrupt):
                folder.commit({})
        assert (store.stage(0, "baseline", "key").begin() / "training.npz").exists()


def _killed_at_folders(source, target, replace=os.replace):
    """`os.replace` that is interrupted where a whole folder is renamed."""
    if Path(source).is_dir():
        raise KeyboardInterrupt
    replace(source, target)


def test_processes_of_one_number_write_the_same_file_without_a_clash(tmp_path, monkeypatch):
    """Such as those of two containers, each the first process of its own."""
    path, replace = tmp_path / "file", os.replace
    monkeypatch.setattr(os, "getpid", lambda: 1)

    def slow(source, target):
        if not path.exists():
            path.write_text("")
            write_atomic(path, "other")  # while the first is about to rename
        replace(source, target)

    monkeypatch.setattr(os, "replace", slow)
    write_atomic(path, "own")
    assert path.read_text() == "own"
    assert os.listdir(tmp_path) == ["file"]


def test_folder_in_which_nothing_was_done_is_removed(tmp_path):
    with RunFolder(tmp_path / "new" / "run") as store:
        store.log.write_text("noise")
    assert not (tmp_path / "new").exists()


def test_empty_folder_of_the_user_is_empty_again_when_nothing_was_done(tmp_path):
    (tmp_path / "mine").mkdir()
    with RunFolder(tmp_path / "mine") as store:
        store.log.write_text("noise")
    assert os.listdir(tmp_path / "mine") == []


def test_unfinished_files_of_a_killed_process_are_swept(tmp_path):
    with RunFolder(tmp_path) as store:
        store.write("file", "content")
        working = store.stage(1, "train", "key").begin()
    for folder in (tmp_path, working):
        (folder / ".model.h5.123.tmp").write_text("half")
    with RunFolder(tmp_path):
        pass
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("file", ["notes.txt", ".draft.txt.1.tmp"])
def test_folder_of_somebody_else_is_refused_as_it_is(tmp_path, file):
    (tmp_path / "stages").mkdir()
    (tmp_path / file).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StorageError, match=r"must be new, empty or of an earlier run\. Received: a folder that holds '.*' and 1 more"):
        RunFolder(tmp_path).__enter__()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", [".lock", "recipe.lock.yaml", "stages/00-baseline/model.h5"])
def test_folder_of_an_earlier_call_is_taken_as_it_is(tmp_path, name):
    """Left by a killed run, copied without hidden files, or lent stages by a search."""
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("")
    with RunFolder(tmp_path) as store:
        store.write("file", "content")


def test_files_beside_the_stages_are_neither_swept_nor_removed(tmp_path):
    with RunFolder(tmp_path) as store:
        store.write("recipe.lock.yaml", "")
        mine = [tmp_path / "stages" / "notes" / ".draft.md.12.tmp", tmp_path / "data" / ".x.csv.12.tmp"]
        for file in mine:
            file.parent.mkdir(parents=True)
            file.write_text("mine")
    with RunFolder(tmp_path) as store:
        store.keep_only([])
    assert [file.read_text() for file in mine] == ["mine", "mine"]


def test_results_go_when_the_recipe_beside_them_changes(tmp_path):
    with RunFolder(tmp_path) as store:
        store.lock_recipe("name: one", ["report.json"])
        store.write("report.json", "{}")
        store.lock_recipe("name: one", ["report.json"])
        assert (tmp_path / "report.json").exists()
        store.lock_recipe("name: two", ["report.json"])
        assert not (tmp_path / "report.json").exists()
        assert (tmp_path / "recipe.lock.yaml").read_text() == "name: two"


def test_record_is_plain_json(tmp_path):
    with RunFolder(tmp_path) as store:
        folder = store.stage(0, "baseline", "key")
        folder.begin()
        folder.commit({"report": {"metrics": {"validation": {"accuracy": 0.5}}}})
        assert json.loads((folder.final / "record.json").read_text())["report"]["metrics"]["validation"]["accuracy"] == 0.5
