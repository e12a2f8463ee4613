"""`ec.compress`: what may be handed over, what it becomes, what is refused before anything is written. The run behind it is replaced."""

import glob
import os
import tempfile

import numpy as np
import pytest

import edgecompress as ec
from edgecompress.backend import keras, tf
from edgecompress.errors import DataError, ModelError, RecipeError, RunLocked
from edgecompress.runs import Run
from edgecompress.store import RunFolder

X = np.arange(60 * 4, dtype=np.float32).reshape(60, 4)
Y = np.arange(60) % 3


@pytest.fixture(scope="module")
def model():
    return keras.Sequential([keras.layers.Dense(3, input_shape=(4,))])


@pytest.fixture
def handed(monkeypatch):
    """The recipe and the arrays that the run would get."""
    found = {}

    def run_in(store, recipe, cluster, progress, *, allow_code, ssh_config):
        with np.load(recipe.data.path) as archive:
            found.update(recipe=recipe, folder=store.path, **{name: archive[name] for name in archive.files})
        return Run(store.path, None)

    monkeypatch.setattr("edgecompress.runs.run_in", run_in)
    return found


@pytest.fixture
def temporary(monkeypatch, tmp_path):
    """What is left in the folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return lambda: sorted(os.path.basename(path) for path in glob.glob(str(tmp_path / "edgecompress-*")))


def from_generator(batch_size=None, **options):
    """A dataset of unknown cardinality."""

    def generate():
        for start in range(0, 60, batch_size or 1):
            yield (X[start : start + batch_size], Y[start : start + batch_size]) if batch_size else (X[start], Y[start])

    return tf.data.Dataset.from_generator(generate, **options)


PAIRS = tf.data.Dataset.from_tensor_slices((X, Y))
UNKNOWN_RANK = {"output_types": (tf.float32, tf.int64)}
KNOWN_RANK = {"output_signature": (tf.TensorSpec([None, 4]), tf.TensorSpec([None], tf.int64))}


@pytest.mark.parametrize(
    "data",
    [(X, Y), [X.tolist(), Y.tolist()], PAIRS, PAIRS.batch(7), PAIRS.batch(7).prefetch(2), from_generator(7, **KNOWN_RANK),
     from_generator(7, **UNKNOWN_RANK), from_generator(**UNKNOWN_RANK)],
    ids=["arrays", "lists", "samples", "batches", "prefetched", "batches of a generator", "batches of unknown rank", "unknown rank"],
)  # fmt: skip
def test_arrays_and_datasets_give_the_same_samples(model, handed, data):
    ec.compress(model, data, quiet=True)
    np.testing.assert_array_equal(handed["x"], X)
    np.testing.assert_array_equal(handed["y"], Y)


def test_test_data_are_a_part_of_their_own(model, handed):
    ec.compress(model, PAIRS.batch(8), test_data=(X[:9], Y[:9]), quiet=True)
    assert [len(handed[name]) for name in ("x_train", "y_train", "x_test", "y_test")] == [60, 60, 9, 9]


def test_settings_become_a_recipe(model, handed, tmp_path):
    stages = [ec.PruneWeights(sparsity=0.5)]
    ec.compress(model, (X, Y), stages=stages, export={"format": "dynamic"}, seed=3, name="mine", out=tmp_path / "run", quiet=True)
    recipe = handed["recipe"]
    assert (recipe.name, recipe.seed, recipe.stages, recipe.export.format) == ("mine", 3, stages, "dynamic")
    assert recipe.task.from_logits
    assert handed["folder"] == tmp_path / "run"


def test_reading_a_dataset_shows_how_far_it_is(model, handed, monkeypatch):
    from edgecompress.progress import Bar, Progress

    told = []

    class Telling(Progress):
        def task(self, name, total=None):
            told.append((name, total))
            return super().task(name, total)

    monkeypatch.setattr(Bar, "describe", lambda self, detail: told.append(detail))
    monkeypatch.setattr("edgecompress.runs.visible_progress", Telling)
    ec.compress(model, PAIRS.batch(20), test_data=from_generator(30, **KNOWN_RANK))
    assert told == [("reading data", 3), "1 elements", "2 elements", "3 elements", ("reading test_data", None), "1 elements", "2 elements"]


def fail(x, y):
    tf.debugging.assert_less(x, 100.0, message="too large")
    return x, y


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (X, r"data must give \(x, y\) or a tf\.data\.Dataset of such pairs\. Received: ndarray\."),
        ((X, Y, Y), r"data must give .* Received: tuple\."),
        (None, r"data must give .* Received: NoneType\."),
        (PAIRS.repeat(), r"data must give a dataset that ends\. Received: one that repeats for ever\."),
        (PAIRS.take(0), r"data must give a dataset of samples\. Received: an empty one\."),
        (PAIRS.map(fail), r"data must give a dataset that can be read\. Received: .*too large"),
        (from_generator(None, **UNKNOWN_RANK).map(lambda x, y: (x[: y + 1], y)), r"data must give samples of one shape"),
    ],
)
def test_other_data_are_refused_and_leave_nothing(model, handed, temporary, data, words):
    with pytest.raises(DataError, match=words) as caught:
        ec.compress(model, data, quiet=True)
    assert "\n" not in str(caught.value)
    assert temporary() == []
    assert handed == {}


def test_what_is_no_model_and_no_format_is_refused_and_leaves_nothing(model, temporary):
    with pytest.raises(ModelError, match=r"must be a model of tf_keras or Keras 3\. Received: an object of class str"):
        ec.compress("model.h5", (X, Y), quiet=True)
    with pytest.raises(RecipeError, match=r"export\.format: format must be one of .*Received: 'int9'"):
        ec.compress(model, (X, Y), export="int9", quiet=True)
    assert temporary() == []


def test_a_run_that_fails_takes_its_temporary_folder_along(model, temporary):
    """Labels of five classes for three outputs: the run itself says so."""
    with pytest.raises(ModelError, match=r"outputs must have the shape \(5,\)"):
        ec.compress(model, (X, np.arange(60) % 5), quiet=True)
    assert temporary() == []


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "run.log"}


FIVE_CLASSES = (X, np.arange(60) % 5)


@pytest.mark.parametrize(
    ("data", "settings", "error"),
    [(FIVE_CLASSES, {}, ModelError), ((X, Y), {"export": "int9"}, RecipeError), (X, {}, DataError)],
    ids=["labels that do not fit", "no format", "no pair"],
)
def test_what_is_refused_leaves_a_new_folder_absent_and_an_old_one_as_it_was(model, tmp_path, data, settings, error):
    with pytest.raises(error):
        ec.compress(model, data, out=tmp_path / "new", quiet=True, **settings)
    assert not (tmp_path / "new").exists()
    options = {"export": "float32", "benchmark": {"runs": 50}, "quiet": True, "out": tmp_path / "run"}
    ec.compress(model, (X, Y), **options)
    before = contents(tmp_path / "run")
    with pytest.raises(error):
        ec.compress(model, data, **options | settings)
    assert contents(tmp_path / "run") == before


def test_inputs_of_a_run_that_fails_later_stay_with_its_recipe(model, tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("edgecompress.pipeline.run_baseline", fail)
    with pytest.raises(KeyboardInterrupt):
        ec.compress(model, (X, Y), out=tmp_path / "run", quiet=True)
    assert contents(tmp_path / "run").keys() == {".lock", "recipe.lock.yaml", "inputs/data.npz", "inputs/model.h5"}


def test_folder_in_use_is_not_written_to(model, tmp_path):
    with RunFolder(tmp_path), pytest.raises(RunLocked):
        ec.compress(model, (X, Y), out=tmp_path, quiet=True)
    assert list(tmp_path.iterdir()) == []
