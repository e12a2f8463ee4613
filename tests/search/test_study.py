"""A study belongs to one recipe, wherever its files lie, and to workers of one heartbeat."""

import shutil

import numpy as np
import optuna
import pytest
import sqlalchemy

import edgecompress as ec
from edgecompress.data import load_data
from edgecompress.errors import RecipeError
from edgecompress.latency.forecast import forecast_of
from edgecompress.recipe.schema import ApplicationModel, PythonModel
from edgecompress.search import study as study_module
from edgecompress.search.run import _heartbeat
from edgecompress.search.study import Heartbeat, made_of, open_study, sources_of


@pytest.fixture
def open_with(space_text, tmp_path):
    """`open_with(heartbeat)` opens the same study."""
    recipe = ec.load_recipe("tiny.yaml", text=space_text)
    return lambda heartbeat: open_study(recipe, f"sqlite:///{tmp_path}/study.db", heartbeat)


def test_workers_take_the_heartbeat_of_the_study(open_with):
    assert open_with(Heartbeat(60, 270)).heartbeat == Heartbeat(60, 270)
    study = open_with(None)
    assert study.heartbeat == Heartbeat(60, 270)
    assert (study.storage.heartbeat_interval, study.storage.grace_period) == (60, 270)


def test_worker_with_another_heartbeat_would_take_others_for_dead_and_is_refused(open_with):
    open_with(Heartbeat(60, 270))
    with pytest.raises(RecipeError, match=r"tiny: --heartbeat must be that of the study, 60 s, or be left out\. Received: 1 s\."):
        open_with(Heartbeat(1, 4))


def test_new_study_has_the_usual_heartbeat_where_nobody_asks(open_with):
    assert open_with(None).heartbeat == Heartbeat(20, 90)
    assert [_heartbeat(seconds) for seconds in (None, 20, 2)] == [None, Heartbeat(20, 90), Heartbeat(2, 9)]


def test_workers_that_make_a_new_database_in_the_same_instant_share_it(open_with, monkeypatch):
    calls = []

    class BeatenOnce(optuna.storages.RDBStorage):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            calls.append(self)
            if len(calls) == 1:  # what SQLite says to the slower of two
                raise sqlalchemy.exc.IntegrityError("INSERT", {}, Exception("UNIQUE constraint failed: alembic_version.version_num"))

    monkeypatch.setattr(optuna.storages, "RDBStorage", BeatenOnce)
    monkeypatch.setattr(study_module, "SETTLING_SECONDS", 0)
    assert open_with(None).storage is calls[1]


RECIPE = """\
name: placed
data: {source: npz, path: PLACE/data.npz, labels: PLACE/labels.txt, limit: 100, unlabelled: {source: npz, path: PLACE/more.npz}}
model: {source: file, path: PLACE/model.h5}
stages:
  - train: {id: taught, epochs: 2, distill: {teacher: {source: file, path: PLACE/teacher.h5}}}
target: {latency_table: PLACE/table.json}
search: {space: {stages.taught.epochs: [1, 2]}}
"""


@pytest.fixture
def place(tmp_path, digits, law_table, finished_run):
    """`place("one")`: a folder with all that the recipe names, and the recipe."""

    def make(name):
        folder = tmp_path / name
        folder.mkdir()
        x, y = digits.train.arrays()[:2]
        for file in ("data.npz", "more.npz"):
            np.savez(folder / file, x=x, y=y)
        (folder / "labels.txt").write_text("".join(f"{digit}\n" for digit in range(10)))
        for file in ("model.h5", "teacher.h5"):
            shutil.copy(finished_run / "stages" / "00-baseline" / "model.h5", folder / file)
        shutil.copy(law_table, folder / "table.json")
        return folder, ec.load_recipe("placed.yaml", text=RECIPE.replace("PLACE", str(folder)))

    return make


def facts(recipe):
    data = load_data(recipe.data, recipe.task, seed=recipe.seed)
    return made_of(recipe), sources_of(recipe, data, forecast_of(recipe.target))


def test_where_files_lie_does_not_count(place):
    assert facts(place("one")[1]) == facts(place("two")[1])


@pytest.mark.parametrize(
    ("file", "source"),
    [("more.npz", "data"), ("labels.txt", "class_names"), ("model.h5", "model"), ("teacher.h5", "stages"), ("table.json", "latency_table")],
)
def test_what_files_hold_counts(place, file, source, digits, small_model):
    (_, first), (folder, second) = place("one"), place("two")
    if file == "more.npz":
        x, y = digits.test.arrays()[:2]
        np.savez(folder / file, x=x, y=y)
    elif file == "labels.txt":
        (folder / file).write_text("".join(f"number {digit}\n" for digit in range(10)))
    elif file.endswith(".h5"):
        small_model.save(folder / file)
    else:
        (folder / file).write_text((folder / file).read_text().replace('"law"', '"other"'))
    (made, sources), (other_made, other_sources) = facts(first), facts(second)
    assert made == other_made
    assert {name for name in sources if sources[name] != other_sources[name]} == {source}


def test_function_of_a_model_of_code_and_published_weights_count(space_text):
    recipe = ec.load_recipe("tiny.yaml", text=space_text)

    def lost(place):
        return made_of(ec.load_recipe("tiny.yaml", {"task.own_loss": place}, text=space_text))

    def made(model):
        return made_of(recipe.model_copy(update={"model": model}))

    one, moved, other = (
        PythonModel(source="python", path=path) for path in ("/a/models.py:make", "/b/models.py:make", "/a/models.py:wide")
    )
    assert made(one) == made(moved) != made(other)
    none, published, *own = (
        ApplicationModel(source="application", name="MobileNetV2", weights=w) for w in (None, "imagenet", "/a/w.h5", "w.h5")
    )
    assert made(own[0]) == made(own[1])
    assert made(none) != made(published) != made(own[0]) != made(none)
    assert lost("/a/mine.py:focal") == lost("/b/mine.py:focal") != lost("/a/mine.py:other")
