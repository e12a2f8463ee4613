import zipfile

import numpy as np
import pytest

from edgecompress.data import load_data
from edgecompress.errors import DataError
from edgecompress.recipe.schema import Data, Preprocess, Task

REGRESSION = Task(loss="mean_squared_error", metrics=["mean_squared_error"])
MULTI_LABEL = Task(loss="binary_crossentropy", metrics=["auc"])
AUTOENCODER = Task(loss="mean_squared_error", metrics=["mean_squared_error"], target="input")


def samples(num=60, shape=(5,), num_classes=3, dtype=np.float32):
    generator = np.random.default_rng(num)
    return generator.normal(size=(num, *shape)).astype(dtype), np.arange(num) % num_classes


@pytest.fixture
def load(tmp_path):
    """Writes arrays and loads them: `load({"x": ..., "y": ...}, task=..., **fields of data)`."""

    def load_arrays(arrays, task=None, **fields):
        np.savez(tmp_path / "data.npz", **arrays)
        return load_data(Data(source="npz", path=str(tmp_path / "data.npz"), **fields), task or Task(), seed=0)

    return load_arrays


def parts(**changes):
    x, y = samples()
    return {"x_train": x, "y_train": y, "x_test": x[:20], "y_test": y[:20]} | changes


def test_features_keep_their_rank(load):
    x, y = samples()
    data = load({"x": x, "y": y})
    assert data.input_shape == (5,)
    assert (len(data.train), len(data.validation), len(data.test)) == (43, 5, 12)


def test_images_get_a_channel_axis(load):
    x, y = samples(shape=(4, 5), dtype=np.int16)
    assert load({"x": x, "y": y}).input_shape == (4, 5, 1)


def test_parts_of_the_file_are_kept_as_they_are(load):
    x, y = samples()
    data = load(parts(x_validation=x[20:30], y_validation=y[20:30]))
    assert (len(data.train), len(data.validation), len(data.test)) == (60, 10, 20)
    assert np.array_equal(data.train.arrays()[0], x)
    assert np.array_equal(data.validation.arrays()[0], x[20:30])
    assert np.array_equal(data.test.arrays()[1], y[:20])


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "uint16", "int64", "uint64", ">i4", "float16", "float64", ">f4"])
def test_every_number_type_becomes_the_float32_of_the_same_value(load, dtype):
    x = np.abs(samples()[0] * 10).astype(dtype)
    inputs, _ = load(parts(x_train=x, x_test=x[:20])).test.arrays()
    assert inputs.dtype == np.float32
    assert np.array_equal(inputs, x[:20].astype(np.float32))


def test_regression_labels_become_float_columns(load):
    x, _ = samples()
    data = load({"x": x, "y": np.arange(60)}, task=REGRESSION)
    assert (data.num_outputs, data.class_names) == (1, [])
    assert data.train.arrays()[1].shape == (len(data.train), 1)
    assert load({"x": x, "y": np.zeros((60, 4))}, task=REGRESSION).num_outputs == 4


def test_multi_label_columns_are_probabilities(load, tmp_path):
    x, y = samples()
    columns = np.eye(3)[y]
    (tmp_path / "names.txt").write_text("first\nsecond\nthird\n")
    data = load({"x": x, "y": columns}, task=MULTI_LABEL, labels=str(tmp_path / "names.txt"))
    assert (data.num_outputs, data.class_names) == (3, ["first", "second", "third"])
    columns[7, 1] = 2
    with pytest.raises(
        DataError, match=r"y in .*data.npz: labels of a multi-label task must be in \[0, 1\]. Received: \[0.0, 2.0, 0.0\] at index 7"
    ):
        load({"x": x, "y": columns}, task=MULTI_LABEL)


def test_an_autoencoder_gets_its_inputs_as_targets(load):
    data = load(parts(), task=AUTOENCODER)
    inputs, targets = data.test.arrays()
    assert np.array_equal(inputs, targets)
    assert data.num_outputs == 5


def test_an_autoencoder_takes_no_notice_of_labels_that_are_values(load):
    x, _ = samples()
    data = load({"x": x, "y": np.arange(60) / 7}, task=AUTOENCODER)
    assert (data.num_outputs, data.class_names) == (5, [])
    with pytest.raises(DataError, match=r"y in .*: labels must be integers \[samples\], one class each. Received: float64"):
        load({"x": x, "y": np.arange(60) / 7}, task=AUTOENCODER, normal=["0"])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": np.zeros(3)}, "must hold x_train, y_train or x, y. Received: y"),
        ({"x": np.zeros((3, 2)), "x_train": np.zeros((3, 2))}, "must hold x_train, y_train or x, y. Received: x, x_train"),
        ({"x_train": np.zeros((3, 2))}, "must hold the array 'y_train'. Received: x_train"),
        (parts(y_test=np.arange(19) % 3), "y_test in .*: must have as many samples as x_test, 20. Received: 19"),
        (parts(x_test=np.zeros((20, 6))), r"x_test in .*: samples must have the shape \[5\] as in train. Received: \[6\]"),
        (parts(x_train=np.array(["a"] * 60)), "x_train in .*: inputs must be numbers of at most 64 bits. Received: <U1"),
        (parts(x_train=np.zeros((60, 5), complex)), "x_train in .*: inputs must be numbers of at most 64 bits. Received: complex128"),
        (parts(x_train=np.zeros(60)), r"x_train in .*: inputs must be an array \[samples, ...\].*Received: shape \[60\]"),
        (parts(x_train=np.zeros((0, 5)), y_train=np.zeros(0, int)), r"x_train in .*not empty. Received: shape \[0, 5\]"),
        (parts(y_train=np.zeros(60)), r"y_train in .*: labels must be integers \[samples\].*Received: float64 of shape \[60\]"),
        (parts(y_train=np.eye(3)[np.arange(60) % 3].astype(int)), r"y_train in .*one class each. Received: int64 of shape \[60, 3\]"),
        (
            parts(y_train=np.arange(60) % 3 * 2),
            "y_train in .*: labels must be the contiguous integers 0..2.*Received: 2 where 1 was expected",
        ),
        (parts(y_train=np.arange(60) % 3 - 1), "y_train in .*: labels must be .*Received: -1"),
        (parts(y_test=np.arange(20) % 4), "y_test in .*: labels must be in 0..2, the 3 classes. Received: 3 at index 3"),
        (parts(x_train=np.array([{}] * 60)), "x_train in .*: must be a whole array without pickled objects"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(load, arrays, message):
    with pytest.raises(DataError, match=message):
        load(arrays)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite_are_counted_and_located(load, value):
    x = np.zeros((60, 4, 5))
    x[12, 3, 1] = x[40, 0, 0] = value
    with pytest.raises(
        DataError,
        match=r"x_train in .*data.npz: values must be finite.*Received: 2 that are NaN or infinite, the first at index \[12, 3, 1\]",
    ):
        load(parts(x_train=x, x_test=x[:20]))


def test_nan_in_labels_is_refused(load):
    x, _ = samples()
    with pytest.raises(DataError, match=r"y in .*values must be finite.*the first at index \[3\]"):
        load({"x": x, "y": np.where(np.arange(60) == 3, np.nan, 0.0)}, task=REGRESSION)


@pytest.mark.parametrize(("start", "end"), [(0, 0), (0, 100), (0, -30), (0, -200), (10, None)])
def test_a_truncated_file_is_refused(tmp_path, start, end):
    path = tmp_path / "data.npz"
    np.savez_compressed(path, **parts())
    path.write_bytes(path.read_bytes()[start:end])
    with pytest.raises(DataError, match=r"data\.npz: must be a whole \.npz file|in .*data\.npz: must be a whole array"):
        load_data(Data(source="npz", path=str(path)), Task(), seed=0)


def test_an_array_damaged_inside_the_file_is_refused_by_name(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, **parts())
    content = bytearray(path.read_bytes())
    position = content.index(b"x_train.npy") + 200
    content[position] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x_train in .*data\.npz: must be a whole array"):
        load_data(Data(source="npz", path=str(path)), Task(), seed=0)


def test_a_damaged_header_of_an_array_is_refused_or_read(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=np.zeros((3, 2)), y=np.arange(3))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    whole = members["x.npy"]
    for position in range(whole.index(b"\n") + 1):
        for byte in {whole[position] ^ 255, ord("("), ord("'")}:
            with zipfile.ZipFile(path, "w") as archive:  # whole as an archive: its check sums say nothing of the damage
                archive.writestr("x.npy", whole[:position] + bytes([byte]) + whole[position + 1 :])
                archive.writestr("y.npy", members["y.npy"])
            try:
                load_data(Data(source="npz", path=str(path)), Task(), seed=0)
            except DataError as error:
                assert "data.npz: " in str(error)  # noqa: PT017  some headers stay good, but no file of three samples reaches for three splits


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.npz: data\.path must be an \.npz file. Received: nothing is there"):
        load_data(Data(source="npz", path=str(tmp_path / "none.npz")), Task(), seed=0)


def test_a_folder_or_a_single_array_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"must be a whole \.npz file"):
        load_data(Data(source="npz", path=str(tmp_path)), Task(), seed=0)
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"x\.npy: must be an \.npz file. Received: a single array"):
        load_data(Data(source="npz", path=str(tmp_path / "x.npy")), Task(), seed=0)


@pytest.mark.parametrize("name", ["speaker", "speaker_train"])
def test_samples_of_one_group_stay_in_one_split(load, name):
    x = np.arange(60, dtype=np.float32).reshape(60, 1)
    groups = np.array([f"speaker {index % 12}" for index in range(60)])
    data = load({"x_train": x, "y_train": np.arange(60) // 12 % 2, name: groups}, group_by="speaker")
    seen = [{groups[int(value)] for value in split.arrays()[0][:, 0]} for split in (data.train, data.validation, data.test)]
    assert set.union(*seen) == set(groups)
    assert sum(len(names) for names in seen) == 12


def test_groups_that_do_not_fit_are_refused(load):
    x, y = samples()
    with pytest.raises(DataError, match=r"must hold the array 'speaker'\. Received: x, y"):
        load({"x": x, "y": y}, group_by="speaker")
    with pytest.raises(DataError, match=r"speaker in .*: group_by must have the shape \[60\], one value per sample. Received: \[59\]"):
        load({"x": x, "y": y, "speaker": np.zeros(59)}, group_by="speaker")
    with pytest.raises(DataError, match=r"\(3 splits\) must have at least one group each. Received: 2 groups"):
        load({"x": x, "y": y, "speaker": np.arange(60) % 2}, group_by="speaker")


def test_official_keyword_features_load(data_folder):
    path = data_folder / "mlperf_tiny" / "kws" / "kws01_int8_features.npz"
    data = load_data(Data(source="npz", path=str(path)), Task(), seed=0)
    assert (data.input_shape, data.num_outputs) == ((49, 10, 1), 12)
    assert len(data.train) + len(data.validation) + len(data.test) == 1000


def test_several_inputs_come_by_name_each_with_its_preprocessing(load):
    image, weather = np.arange(60 * 20, dtype=np.uint8).reshape(60, 4, 5), np.arange(120).reshape(60, 2)
    arrays = {"image": image, "weather": weather, "y": np.arange(60) % 3}
    data = load(arrays, inputs={"image": Preprocess(scale=1 / 255), "weather": Preprocess(mean=[1.0, 2.0])})
    assert data.input_shape == {"image": (4, 5, 1), "weather": (2,)}
    inputs, _ = data.test.arrays()
    rows = ((inputs["weather"][:, 0] + 1) / 2).astype(int)
    np.testing.assert_allclose(inputs["image"][..., 0], image[rows] / 255, rtol=2e-7)  # one rounding of the factor, one of the product
    assert np.array_equal(inputs["weather"], weather[rows] - [1, 2])
    changed = load({**arrays, "weather": weather + 1}, inputs=data.preprocess).fingerprint
    assert len({data.fingerprint, changed, load(arrays, inputs={"image": Preprocess(), "weather": Preprocess()}).fingerprint}) == 3


def test_several_inputs_that_do_not_fit_are_refused(load):
    both = {"a": Preprocess(), "b": Preprocess()}
    x, y = samples()
    with pytest.raises(DataError, match=r"must hold a_train, b_train, y_train or a, b, y\. Received: x, y"):
        load({"x": x, "y": y}, inputs=both)
    with pytest.raises(DataError, match=r"must hold the array 'b'\. Received: a, y"):
        load({"a": x, "y": y}, inputs=both)
    with pytest.raises(DataError, match=r"b in .*: must have as many samples as a, 60\. Received: 59\."):
        load({"a": x, "b": x[:-1], "y": y}, inputs=both)
    parts = {"a_train": x, "b_train": x, "y_train": y, "a_test": x, "b_test": x[:, :2], "y_test": y}
    with pytest.raises(DataError, match=r"a and b_test in .*: samples must have the shape \{'a': \[5\], 'b': \[5\]\} as in train\."):
        load(parts, inputs=both)


def test_sequences_keep_their_two_axes(load):
    x, y = samples(shape=(7, 2))
    data = load({"x": x, "y": y}, preprocess=Preprocess(channel_axis="none", mean=[1.0, 2.0]))
    assert data.input_shape == (7, 2)
    inputs, _ = data.train.arrays()
    assert inputs.shape[1:] == (7, 2)
    assert load({"x": x, "y": y}).input_shape == (7, 2, 1)


def test_a_group_in_train_and_in_the_file_s_own_test_is_refused(load):
    groups = {"who_train": np.arange(60) // 5, "who_test": np.arange(20) // 5 + 100}
    assert load(parts(**groups), group_by="who").warnings == ()
    groups["who_test"][3] = 7
    with pytest.raises(
        DataError,
        match=r"y_test in .*: samples of one group must be in one part only, .*Received: 1 that are in y_train in .* too, such as 7",
    ):
        load(parts(**groups), group_by="who")
    del groups["who_test"]
    [warning] = load(parts(**groups), group_by="who").warnings
    assert warning.endswith("its groups are not known, so whether train has samples of them could not be checked.")
