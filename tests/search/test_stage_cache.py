"""A folder of stages that many processes share."""

import os
import signal
import subprocess
import sys
import textwrap
import time

from edgecompress.search.stage_cache import StageCache
from edgecompress.store import content_key

KEY = content_key("a stage")
WORK = """
    import os, sys, time
    from pathlib import Path
    from edgecompress.search.stage_cache import StageCache
    with StageCache(Path(sys.argv[1])).stage(1, "work", sys.argv[2]).claimed() as folder:
        if folder.finished() is None:
            place = folder.begin()
            with open(Path(sys.argv[1], "log"), "a") as log:
                log.write(f"{os.getpid()}\\n")
            print("working", flush=True)
            time.sleep(float(sys.argv[3]))
            (place / "result").write_text("whole")
            folder.commit({"value": 7})
"""


def start(folder, seconds):
    command = [sys.executable, "-c", textwrap.dedent(WORK), str(folder), KEY, str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def record(folder):
    return StageCache(folder).stage(1, "work", KEY).finished()


def test_of_many_processes_one_works_and_all_find_its_result(tmp_path):
    workers = [start(tmp_path, 0.3) for _ in range(4)]
    assert [worker.wait(30) for worker in workers] == [0] * 4
    assert record(tmp_path) == {"value": 7, "key": KEY}
    assert len((tmp_path / "log").read_text().split()) == 1


def test_claim_of_a_killed_process_is_free_and_its_folder_is_continued(tmp_path):
    first = start(tmp_path, 60)
    assert first.stdout.readline() == "working\n"
    second = start(tmp_path, 0)
    time.sleep(0.2)
    assert second.poll() is None
    os.kill(first.pid, signal.SIGKILL)
    assert second.wait(30) == 0
    first.wait(10)
    assert record(tmp_path)["value"] == 7


def test_without_locks_the_first_to_finish_wins(tmp_path, monkeypatch):
    monkeypatch.setattr("edgecompress.search.stage_cache._wait_for", lambda descriptor: False)
    cache = StageCache(tmp_path)
    with cache.stage(1, "work", KEY).claimed() as one, cache.stage(1, "work", KEY).claimed() as two:
        assert one.begin() != two.begin()
        two.commit({"value": 2})
        one.commit({"value": 1})
    assert record(tmp_path)["value"] == 2
    assert [path for path in tmp_path.rglob("*partial*") if path.is_dir()] == []


def test_hosts_that_do_not_see_each_others_locks_never_share_a_working_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("edgecompress.search.stage_cache._wait_for", lambda descriptor: True)
    places, cache = {}, StageCache(tmp_path)
    for host in ("one", "two", "one"):  # in the end the first is started again
        monkeypatch.setattr("platform.node", lambda host=host: host)
        place = cache.stage(1, "work", KEY).begin()
        (place / "of").write_text((place / "of").read_text() + host if (place / "of").exists() else host)
        places.setdefault(host, place)
    assert [(place / "of").read_text() for place in places.values()] == ["oneone", "two"]


def test_damaged_stage_is_replaced(tmp_path):
    cache = StageCache(tmp_path)
    for value in (1, 2):
        with cache.stage(1, "work", KEY).claimed() as folder:
            (folder.begin() / "result").write_text(str(value))
            folder.commit({"value": value})
    assert record(tmp_path)["value"] == 2


def test_stages_are_lent_to_a_run_folder(tmp_path):
    cache = StageCache(tmp_path / "cache")
    with cache.stage(1, "work", KEY).claimed() as folder:
        (folder.begin() / "model.h5").write_text("model")
        folder.commit({})
    cache.lend([(1, "work", KEY), (2, "other", content_key("absent"))], tmp_path / "run")
    assert (tmp_path / "run" / "stages" / "01-work" / "model.h5").read_text() == "model"
    assert [path.name for path in (tmp_path / "run" / "stages").iterdir()] == ["01-work"]
