"""Who may use the folder of a search at the same time."""

import json

import pytest

from edgecompress.cli import main
from edgecompress.errors import RecipeError, RunLocked, StorageError
from edgecompress.search.folder import search_folder
from edgecompress.store import RunFolder


def test_second_search_is_refused_and_a_worker_is_not(tmp_path, space_file, capsys):
    out = tmp_path / "out"
    with search_folder(out, "tiny", worker=False):
        with search_folder(out, "tiny", worker=True), search_folder(out, "tiny", worker=True):
            pass
        with pytest.raises(RunLocked, match=r"another search is using this folder\. Help it with --worker"):
            search_folder(out, "tiny", worker=False).__enter__()
        assert main(["search", str(space_file), "--out", str(out), "--quiet"]) == RunLocked.exit_code
        assert "another search is using this folder" in capsys.readouterr().err
    with search_folder(out, "tiny", worker=False):
        pass


def test_folder_in_which_workers_began_is_taken_by_the_search(tmp_path):
    with search_folder(tmp_path / "out", "tiny", worker=True):
        (tmp_path / "out" / "study.db").write_text("")
    with search_folder(tmp_path / "out", "tiny", worker=False):
        pass


def test_files_of_a_run_and_of_a_search_never_lie_beside_each_other(tmp_path):
    search, run = tmp_path / "search", tmp_path / "run"
    with search_folder(search, "tiny", worker=False):
        (search / "study.db").write_text("")
    with pytest.raises(StorageError, match=r"the run folder must be .* Received: a folder that holds 'study\.db'"), RunFolder(search):
        pass
    with RunFolder(run):
        (run / "recipe.lock.yaml").write_text("")
    for worker in (False, True):
        with pytest.raises(StorageError, match=r"holds 'recipe\.lock\.yaml'"), search_folder(run, "tiny", worker=worker):
            pass


def test_folder_of_before_there_was_a_lock_goes_on(tmp_path):
    (tmp_path / "study.db").write_text("")
    with search_folder(tmp_path, "tiny", worker=False):
        pass


@pytest.mark.parametrize("worker", [False, True])
def test_results_of_another_search_are_not_mixed_with_these(tmp_path, worker):
    (tmp_path / "search.json").write_text(json.dumps({"name": "other"}))
    with pytest.raises(RecipeError, match=r"the folder must be of the search tiny; .* Received: one of other\."):
        search_folder(tmp_path, "tiny", worker=worker).__enter__()


def test_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "photo.png").write_text("")
    with pytest.raises(StorageError, match=r"must be new, empty or of an earlier search"):
        search_folder(tmp_path, "tiny", worker=False).__enter__()
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]
