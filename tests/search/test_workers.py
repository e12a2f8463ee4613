"""Many workers on one study in PostgreSQL, two of them killed: no trial is lost or counted twice, and the front is the same."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import edgecompress as ec
from edgecompress.cli import main
from edgecompress.data import load_data
from edgecompress.search.queue import HARVESTED
from edgecompress.search.study import Heartbeat, open_study, sources_of

NUM_TRIALS, NUM_WORKERS, NUM_KILLED = 5, 4, 2
POINTS = [{"stages.cut.macs": 0.3 + 0.1 * i, "use.zeros": i % 2 == 1, "stages.zeros.sparsity": 0.2} for i in range(NUM_TRIALS)]
SETTINGS = {"search.trials": NUM_TRIALS, "search.first": [dict(list(point.items())[: 3 if point["use.zeros"] else 2]) for point in POINTS]}


def command(recipe, out, *options):
    settings = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    return ["search", str(recipe), "--out", str(out), "--quiet", "--no-run", *settings, *options]


def trials_of(found):
    """Number, ending, point and values of each trial."""
    return [(trial["number"], trial["kind"], trial["point"], trial["values"]) for trial in found["tried"]]


def workers_at_work(study):
    """Process ids of the workers whose trials are running."""
    running = [trial for trial in study.trials if trial.state.name == "RUNNING" and "worker" in trial.user_attrs]
    return [int(trial.user_attrs["worker"].rpartition("-")[2]) for trial in running]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, space_text):
    """What one worker finds."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "tiny.yaml").write_text(space_text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgecompress.export.verify.run_job", lambda job, timeout_s: None)
        assert main(command(folder / "tiny.yaml", folder / "out")) == 0
    return json.loads((folder / "out" / "search.json").read_text())


def test_two_of_four_workers_are_killed_and_nothing_is_lost_or_counted_twice(postgresql, space_file, tmp_path, undisturbed):
    out, shared = tmp_path / "out", ["--storage", postgresql, "--heartbeat", "2"]
    recipe = ec.load_recipe(space_file, SETTINGS)
    sources = sources_of(recipe, load_data(recipe.data, recipe.task, seed=recipe.seed), None)
    study = open_study(recipe, postgresql, Heartbeat(2, 9), sources).study
    arguments = command(space_file, out, "--worker", *shared)
    workers = [
        subprocess.Popen([sys.executable, "-m", "edgecompress", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(NUM_WORKERS)
    ]
    try:
        killed = kill_some(study, workers)
        for worker in workers:
            said = worker.communicate(timeout=400)[1]
            assert worker.returncode == (-signal.SIGKILL if worker.pid in killed else 0), said
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    assert main(command(space_file, out, *shared)) == 0
    found = json.loads((out / "search.json").read_text())
    assert trials_of(found) == trials_of(undisturbed)
    assert found["front"] == undisturbed["front"]
    assert sum(trial["attempts"] > 1 for trial in found["tried"]) >= NUM_KILLED
    finished = [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]
    assert sum(HARVESTED not in trial.user_attrs for trial in finished) == NUM_TRIALS
    brought = [tuple(trial.user_attrs[HARVESTED]) for trial in finished if HARVESTED in trial.user_attrs]
    assert len(brought) == len(set(brought)) == sum(trial["harvested_from"] is not None for trial in found["tried"]) > 0


def kill_some(study, workers):
    """Kills workers in the middle of trials; returns their process ids."""
    killed = set()
    while len(killed) < NUM_KILLED:
        assert any(worker.poll() is None for worker in workers), [(trial.number, trial.state, trial.user_attrs) for trial in study.trials]
        for process in workers_at_work(study):
            if process not in killed and len(killed) < NUM_KILLED:
                os.kill(process, signal.SIGKILL)
                killed.add(process)
        time.sleep(0.1)
    return killed
