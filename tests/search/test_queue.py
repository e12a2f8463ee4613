"""Slots: every trial once, whoever dies."""

import time

import optuna
import pytest
from optuna.trial import TrialState

import edgecompress as ec
from edgecompress.recipe.space import make_space
from edgecompress.search.queue import HARVESTED, MOST_ATTEMPTS, SURPLUS, Ending, Queue
from edgecompress.search.sampling import OptunaChooser
from edgecompress.search.study import Heartbeat, open_study

HEARTBEAT = Heartbeat(60, 300)


@pytest.fixture
def make(space_text, tmp_path):
    """A worker's view of one study: `make("name", trials=3, first=[...])`."""

    def queue(worker="one", *, trials=3, first=(), heartbeat=HEARTBEAT, **search):
        values = {"search.trials": trials, "search.first": list(first)} | {f"search.{key}": value for key, value in search.items()}
        recipe = ec.load_recipe("tiny.yaml", values, text=space_text)
        study = open_study(recipe, f"sqlite:///{tmp_path}/study.db", heartbeat)
        return Queue(study, recipe, worker), study.study, make_space(recipe)

    return queue


def end(study, trial, space, state=TrialState.COMPLETE):
    """Draws the point and ends the trial."""
    point = space.draw(OptunaChooser(trial))
    study.tell(trial, [0.5, trial.number] if state == TrialState.COMPLETE else None, state=state)
    return point


def die(study, trial):
    """What others do when the signs of life of a worker are too old."""
    study.tell(trial, state=TrialState.FAIL)


def test_slots_are_filled_once_and_then_it_is_over(make):
    queue, study, space = make()
    for _ in range(3):
        assert not queue.is_over()
        end(study, queue.take(), space)
    assert queue.take() is None
    assert queue.is_over()


def test_point_of_a_dead_worker_is_tried_again_and_counts_once(make):
    queue, study, space = make(trials=2)
    lost = queue.take()
    point = space.draw(OptunaChooser(lost))
    end(study, queue.take(), space)
    die(study, lost)
    again = queue.take()
    assert space.draw(OptunaChooser(again)) == point
    assert not queue.is_over()
    study.tell(again, [0.5, 1])
    assert queue.is_over()
    assert [slot.number for slot in queue.slots()] == [0, 1]


def test_worker_that_died_while_it_drew_leaves_the_point_of_the_recipe_whole(make):
    given = {"stages.cut.macs": 0.4, "use.zeros": True, "stages.zeros.sparsity": 0.2}
    queue, study, space = make(trials=1, first=[given])
    lost = queue.take()
    assert lost.suggest_categorical("use.zeros", [True, False]) is True  # the first of three fields
    die(study, lost)
    assert space.draw(OptunaChooser(queue.take())) == given


def test_two_workers_that_see_a_death_at_once_make_one_attempt(make, monkeypatch):
    (queue, study, space), (other, _, _) = make("one", trials=1), make("two", trials=1)
    die(study, queue.take())
    (slot,) = queue.slots()
    queue._try_again(slot)
    other._try_again(slot)  # it had looked before the first had written
    taken = [queue.take(), other.take()]
    assert sum(trial is not None for trial in taken) == 1
    end(study, taken[0], space)
    assert queue.take() is None
    assert queue.is_over()
    assert [trial.state for trial in study.trials if not trial.user_attrs.get(SURPLUS)] == [TrialState.FAIL, TrialState.COMPLETE]


def test_trial_beyond_the_last_slot_is_given_up(make):
    (queue, study, space), (other, _, _) = make("one", trials=1), make("two", trials=1)
    trial = queue.take()
    beyond = study.ask()  # as if another had asked at the same moment
    assert not other._counts(beyond.number)
    end(study, trial, space)
    assert queue.is_over()


def test_worker_that_died_before_its_first_sign_of_life_is_found(make):
    queue, study, space = make(trials=1, heartbeat=Heartbeat(1, 1))
    study.ask()  # and nothing more
    assert queue.take() is None
    time.sleep(1.1)
    trial = queue.take()
    end(study, trial, space)
    assert queue.is_over()


def test_late_end_of_a_trial_that_was_taken_for_dead_is_refused(make):
    queue, study, space = make(trials=1)
    slow = queue.take()
    die(study, slow)
    end(study, queue.take(), space)
    for values in ([0.9, 1], None):
        with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
            queue.tell(slow, Ending(values, {}, {}))
    assert [slot.done.number for slot in queue.slots()] == [1]


def test_recipe_that_kills_every_worker_is_given_up(make):
    queue, study, _ = make(trials=1)
    for _ in range(MOST_ATTEMPTS):
        die(study, queue.take())
    assert queue.take() is None
    assert queue.is_over()


def test_interrupted_trial_is_taken_up_again_without_end(make):
    queue, study, space = make(trials=1)
    point = None
    for _ in range(MOST_ATTEMPTS + 2):
        trial = queue.take()
        drawn = space.draw(OptunaChooser(trial))
        assert point in (None, drawn)
        point = drawn
        queue.give_back(trial)
    end(study, queue.take(), space)
    assert queue.is_over()


def test_points_of_the_recipe_come_first_and_the_rest_is_drawn(make):
    first = [{"stages.cut.macs": 0.3, "use.zeros": False}, {"stages.zeros.sparsity": 0.6, "use.zeros": True}]
    queue, study, space = make(trials=3, first=first)
    trials = [queue.take() for _ in range(3)]
    assert [queue.is_first(trial) for trial in trials] == [True, True, False]
    points = [end(study, trial, space) for trial in trials]
    assert points[0] == first[0]
    assert points[1].items() >= first[1].items()
    assert 0.2 <= points[1]["stages.cut.macs"] <= 0.9


@pytest.mark.parametrize("sampler", ["ehvi", "tpe", "nsga2", "random"])
def test_study_that_goes_on_draws_what_it_would_have_drawn(make, sampler, tmp_path):
    points = []
    for calls in ([8], [3, 5]):
        (tmp_path / "study.db").unlink(missing_ok=True)
        drawn = []
        for number in calls:
            queue, study, space = make(trials=8, sampler=sampler)
            drawn += [end(study, queue.take(), space) for _ in range(number)]
        points.append(drawn)
    assert points[0] == points[1]
    assert len({tuple(point.items()) for point in points[0]}) == 8


@pytest.mark.parametrize(("sampler", "number"), [("ehvi", 16), ("tpe", 30)])
def test_constraints_reach_the_sampler(make, sampler, number):
    queue, study, space = make(trials=number, sampler=sampler)
    for _ in range(number):
        trial = queue.take()
        point = space.draw(OptunaChooser(trial))
        trial.set_constraint("macs", point["stages.cut.macs"] - 0.4)
        study.tell(trial, [point["stages.cut.macs"], 1.0])
    late = [trial.params["stages.cut.macs"] for trial in study.trials[number // 2 :]]
    assert sum(value <= 0.42 for value in late) > number / 4  # a quarter of the range would be an eighth


def test_what_a_trial_brings_along_fills_no_slot_and_is_there_once(make):
    queue, study, space = make(trials=2, first=[{"stages.cut.macs": 0.3, "use.zeros": True, "stages.zeros.sparsity": 0.6}])
    lost = queue.take()
    other = {name: value for name, value in (space.draw(OptunaChooser(lost)) | {"use.zeros": False}).items() if "sparsity" not in name}
    ending = Ending([0.7, 900.0], {"size_kb": -0.2}, {"kind": "complete"})
    queue.bring_along(lost, 0, other, ending)
    die(study, lost)
    again = queue.take()
    space.draw(OptunaChooser(again))
    assert queue.known(other, in_full=True) == {"kind": "complete"}  # so the second attempt takes what the first has done
    queue.bring_along(again, 0, other, ending)
    queue.tell(again, ending)
    (brought,) = queue.harvested()
    assert (brought.params, brought.values, brought.constraints) == (other, [0.7, 900.0], {"size_kb": -0.2})
    assert brought.user_attrs[HARVESTED] == [0, 0]
    assert [slot.number for slot in queue.slots()] == [0]
    end(study, queue.take(), space)
    assert queue.take() is None
    assert queue.is_over()


def test_point_that_ended_after_a_short_recovery_is_not_known_in_full(make):
    queue, _, space = make(trials=1)
    trial = queue.take()
    point = space.draw(OptunaChooser(trial))
    queue.tell(trial, Ending(None, {}, {"kind": "stopped"}))
    assert queue.known(point, in_full=False) == {"kind": "stopped"}
    assert queue.known(point, in_full=True) is None
