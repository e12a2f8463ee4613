"""What one worker makes of trials that end in other ways than they should."""

import errno

import pytest
from optuna.trial import TrialState

import edgecompress as ec
from edgecompress.backend import tf
from edgecompress.errors import StorageError
from edgecompress.progress import Progress
from edgecompress.quiet import noise_to
from edgecompress.search.loop import Worker, result_in
from edgecompress.search.outcome import Outcome
from edgecompress.search.queue import Queue
from edgecompress.search.stage_cache import StageCache
from edgecompress.search.study import Heartbeat, open_study
from edgecompress.search.trial import Laboratory, Result

REJECTED = Result("rejected", "too large")


@pytest.fixture
def make(space_text, tmp_path):
    """A worker, its recipe and its study: `make(trials=2)`."""

    def worker(**search):
        recipe = ec.load_recipe("tiny.yaml", {f"search.{name}": value for name, value in search.items()}, text=space_text)
        study = open_study(recipe, f"sqlite:///{tmp_path}/study.db", Heartbeat(60, 300))
        return Worker(recipe, study, StageCache(tmp_path / "cache"), allow_code=False), recipe, study

    return worker


def answers(monkeypatch, *endings):
    """Has the trials end one after the other as given: by raising, or with a result."""
    left = iter(endings)

    def judge(*_, **__):
        ending = next(left)
        if isinstance(ending, BaseException):
            raise ending
        return ending

    monkeypatch.setattr(Laboratory, "_judge", judge)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating a tensor"), "ResourceExhaustedError: OOM when allocating"),
        (MemoryError(), "MemoryError"),
        (ValueError("Negative dimension size"), "ValueError: Negative dimension size"),
    ],
)
def test_trial_that_raises_is_a_failed_one_and_the_search_goes_on(make, monkeypatch, tmp_path, fault, reason):
    worker, _, study = make(trials=2)
    answers(monkeypatch, fault, REJECTED)
    with noise_to(tmp_path / "search.log"):
        worker.work(Progress())
    found = [result_in(slot.done) for slot in worker.slots()]
    assert [result["kind"] for result in found] == ["failed", "rejected"]
    assert found[0]["reason"].startswith(reason)
    assert len(study.study.trials) == 2
    log = (tmp_path / "search.log").read_text()
    assert "Traceback" in log
    assert type(fault).__name__ in log


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), StorageError("full"), OSError(errno.ENOSPC, "No space left on device")])
def test_what_no_other_trial_would_change_ends_the_worker_and_leaves_the_point_for_another_attempt(make, monkeypatch, stop):
    worker, _, study = make(trials=1)
    answers(monkeypatch, stop, REJECTED)
    with pytest.raises(type(stop)):
        worker.work(Progress())
    worker.work(Progress())
    first, second = study.study.trials
    assert (first.state, second.state) == (TrialState.FAIL, TrialState.PRUNED)
    assert first.params == second.params
    (slot,) = worker.slots()
    assert result_in(slot.done)["kind"] == "rejected"


@pytest.fixture
def halve(make):
    """`halve(accuracy, deaths=1)`: whether a trial goes on that reached so much; that many attempts at it died after they had, too."""
    worker, recipe, study = make(trials=4, halving={"rungs": [0.25], "keep": 0.5}, objectives=["accuracy"])
    queue = Queue(study, recipe, "one")

    def reach(accuracy, deaths=0):
        for _ in range(deaths + 1):
            trial = queue.take()
            goes_on = worker._goes_on(trial, 0, Outcome({"accuracy": accuracy}, 0.0, 1000, 1, 1))
            study.study.tell(trial, state=TrialState.FAIL if deaths else TrialState.PRUNED)
            deaths -= 1
        return goes_on

    return reach


def test_attempts_that_died_do_not_count_beside_the_one_that_took_their_place(halve):
    assert halve(0.5, deaths=1)
    assert not halve(0.3)
    assert halve(0.4)  # the second of three, not the third of four


def test_trial_is_not_compared_with_its_own_earlier_attempt(halve):
    assert halve(0.5)
    assert not halve(0.4, deaths=1)  # the second of two, not of three
