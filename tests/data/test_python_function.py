import textwrap

import numpy as np
import pytest

from edgecompress.data import load_data
from edgecompress.errors import DataError
from edgecompress.recipe.schema import Data, Task

AUTOENCODER = Task(loss="mean_squared_error", metrics=["mean_squared_error"], target="input")
HEAD = """
import numpy as np
x, y = np.arange(240, dtype=np.float32).reshape(60, 4), np.arange(60) % 3
"""


@pytest.fixture
def load(tmp_path):
    """`load(body of the function)` through a file `mine.py`."""

    def load_code(body, *, task=None, allow_code=True, function="samples", **fields):
        code = HEAD + "def samples():\n" + textwrap.indent(textwrap.dedent(body), "    ")
        (tmp_path / "mine.py").write_text(code)
        data = Data(source="python", path=f"{tmp_path / 'mine.py'}:{function}", **fields)
        return load_data(data, task or Task(), seed=0, allow_code=allow_code)

    return load_code


ARRAYS = "return {'x_train': x, 'y_train': y, 'x_test': x[:9], 'y_test': y[:9]}"
DATASET = "import tensorflow as tf\nds = tf.data.Dataset.from_tensor_slices((x, y))\n"


@pytest.mark.parametrize(
    "body",
    [
        ARRAYS,
        "return {'train': (x, y), 'test': (x[:9], y[:9])}",
        DATASET + "return {'train': ds, 'test': ds.take(9)}",
        DATASET + "return {'train': ds.batch(7), 'test': (x[:9], y[:9])}",
    ],
)
def test_arrays_pairs_and_datasets_give_the_same_samples(load, body):
    data = load(body)
    assert (len(data.train) + len(data.validation), len(data.test), data.input_shape) == (60, 9, (4,))
    inputs, labels = data.test.arrays()
    assert np.array_equal(inputs, np.arange(36).reshape(9, 4))
    assert np.array_equal(labels, np.arange(9) % 3)
    assert data.fingerprint == load(ARRAYS).fingerprint


def test_a_pair_alone_is_split_with_its_groups(load):
    assert len(load("return x, y").test) == 12
    data = load("return {'x': x, 'y': y, 'who': np.arange(60) // 5}", group_by="who")
    assert sum(len({int(row[0]) // 20 for row in split.arrays()[0]}) for split in (data.train, data.validation, data.test)) == 12


def test_an_autoencoder_takes_samples_without_labels(load):
    assert load("return x, None", task=AUTOENCODER).num_outputs == 4
    assert load("import tensorflow as tf\nreturn tf.data.Dataset.from_tensor_slices(x).batch(8)", task=AUTOENCODER).num_outputs == 4


@pytest.mark.parametrize(
    "body",
    [
        "return {'a': x, 'b': x[:, :2], 'y': y}",
        "return {'a': x, 'b': x[:, :2]}, y",
        "import tensorflow as tf\nreturn tf.data.Dataset.from_tensor_slices(({'a': x, 'b': x[:, :2]}, y)).batch(8)",
    ],
)
def test_several_inputs_come_by_name(load, body):
    data = load(body, inputs=["a", "b"])
    assert data.input_shape == {"a": (4,), "b": (2,)}


def test_neighbours_of_the_file_can_be_imported(load, tmp_path):
    (tmp_path / "neighbour_of_mine.py").write_text("NUMBER = 40")
    assert len(load("import neighbour_of_mine as other\nreturn x[:other.NUMBER], y[:other.NUMBER]").test) == 8


def test_code_needs_leave_and_does_not_run_without(load, tmp_path):
    with pytest.raises(DataError, match=r"data\.path: .*mine\.py:samples is code that would run here\. .*--allow-code"):
        load(f"open({str(tmp_path / 'ran')!r}, 'w')\nreturn x, y", allow_code=False)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("body", "function", "message"),
    [
        ("return 1 / 0", "samples", r"mine\.py:samples must run without an error\. Received: ZeroDivisionError: division by zero\.$"),
        ("return x, y", "sample", r"mine\.py: must have a function 'sample'\. Received: samples\.$"),
        ("return x", "samples", r"must give \(x, y\) or a tf\.data\.Dataset of such pairs\. Received: ndarray\.$"),
        ("return {'train': (x,)}", "samples", r"must give \(x, y\) or .*Received: tuple\.$"),
        (DATASET + "return ds.repeat()", "samples", r"must give a dataset that ends\. Received: one that repeats for ever\.$"),
        (DATASET + "return ds.take(0)", "samples", r"must give a dataset of samples\. Received: an empty one\.$"),
        ("return {'z': x}", "samples", r"mine\.py:samples: must hold x_train, y_train or x, y\. Received: z\.$"),
        ("return x, y[:-1]", "samples", r"y in .*: must have as many samples as x, 60\. Received: 59\.$"),
        ("return x, None", "samples", r"must hold the array 'y'\. Received: x\.$"),
        ("this is no code", "samples", r"must run without an error\. Received: SyntaxError: "),
    ],
)
def test_what_a_function_gives_wrong_is_one_line(load, body, function, message):
    with pytest.raises(DataError, match=message) as caught:
        load(body, function=function)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nothing.py:samples", r"nothing\.py: must be a Python file\. Received: nothing is there\.$"),
        ("mine.py", r"must be file\.py:function or module\.path:function\. Received: 'mine\.py'\.$"),
        ("no_such_module:f", r"must run without an error\. Received: ModuleNotFoundError: No module named 'no_such_module'\.$"),
    ],
)
def test_a_place_without_a_function_is_named(path, message):
    with pytest.raises(DataError, match=message):
        load_data(Data(source="python", path=path), Task(), seed=0, allow_code=True)
