import gzip

import numpy as np
import pytest

from edgecompress.data import load_data
from edgecompress.errors import DataError
from edgecompress.recipe.schema import Augment, Data, Preprocess, Task

SCALE = Preprocess(scale=1 / 16)


@pytest.fixture
def load_npz(tmp_path):
    """`load_npz(x, y, seed=..., **fields of data)` through a file."""

    def load(x, y, seed=0, task=None, **fields):
        np.savez(tmp_path / "data.npz", x=x, y=y)
        return load_data(Data(source="npz", path=str(tmp_path / "data.npz"), **fields), task or Task(), seed=seed)

    return load


def digits(seed=0, task=None, **fields):
    return load_data(Data(source="digits", preprocess=SCALE, **fields), task or Task(), seed=seed)


def rows(split):
    """Samples of a split as a set of bytes."""
    return [row.tobytes() for row in split.arrays()[0]]


def test_digits_are_split_into_all_1797_samples():
    data = digits()
    assert [len(split) for split in (data.train, data.validation, data.test, data.calibration)] == [1294, 144, 359, 200]
    assert (data.input_shape, data.num_outputs, data.source, data.batch_size) == ((8, 8, 1), 10, "digits", 128)
    assert data.class_names == [str(digit) for digit in range(10)]
    inputs, _ = data.train.arrays()
    assert (inputs.min(), inputs.max()) == (0, 1)


def test_splits_are_disjoint_and_complete(load_npz):
    x = np.arange(300, dtype=np.float32).reshape(300, 1)
    data = load_npz(x, np.arange(300) % 3)
    found = rows(data.train) + rows(data.validation) + rows(data.test)
    assert len(set(found)) == len(found) == 300
    assert set(rows(data.calibration)) <= set(rows(data.train))


def test_each_split_is_stratified():
    data = digits()
    total = np.bincount(np.concatenate([split.labels for split in (data.train, data.validation, data.test)]))
    for split, share in ((data.test, 0.2), (data.validation, 0.1 * 0.8), (data.train, 0.9 * 0.8)):
        # One sample for the rounding of each of two splits after the other.
        assert (np.abs(np.bincount(split.labels) - total * share) <= 2).all()


def test_calibration_is_balanced_and_has_no_two_identical_samples(load_npz):
    x = np.repeat(np.arange(100, dtype=np.uint8), 3).reshape(300, 1)  # three copies of each sample
    data = load_npz(x, np.repeat(np.arange(4), 75), calibration=40)
    assert np.bincount(data.calibration.labels).tolist() == [10, 10, 10, 10]
    assert len(set(rows(data.calibration))) == 40
    assert len(load_npz(x, np.repeat(np.arange(4), 75), calibration=200).calibration) == len(set(rows(data.train)))


def test_limit_thins_out_training_samples_only_and_keeps_classes_balanced():
    data, whole = digits(limit=105), digits()
    assert np.ptp(np.bincount(data.train.labels)) == 1
    assert (len(data.train), len(data.validation), len(data.test)) == (105, len(whole.validation), len(whole.test))
    assert set(rows(data.calibration)) <= set(rows(data.train))
    assert rows(data.test) == rows(whole.test)


def test_the_same_seed_gives_the_same_splits_and_another_seed_others():
    first, same, other = digits(), digits(), digits(seed=1)
    assert rows(first.train) == rows(same.train)
    assert rows(first.calibration) == rows(same.calibration)
    assert rows(first.test) != rows(other.test)


def test_fingerprint_follows_everything_that_changes_samples(load_npz, tmp_path):
    x, y = np.arange(600, dtype=np.uint8).reshape(60, 10), np.arange(60) % 3
    changed_x, changed_y = x.copy(), y.copy()
    changed_x[59, 9] += 1
    changed_y[[0, 1]] = changed_y[[1, 0]]
    autoencoder = Task(loss="mean_squared_error", metrics=["mean_squared_error"], target="input")
    found = [
        load_npz(*arrays, **fields).fingerprint
        for arrays, fields in (
            ((x, y), {}), ((changed_x, y), {}), ((x, changed_y), {}), ((x.astype(np.int16), y), {}), ((x, y), {"seed": 1}),
            ((x, y), {"validation": 0.2}), ((x, y), {"test": 0.3}), ((x, y), {"limit": 30}),
            ((x, y), {"preprocess": SCALE}), ((x, y), {"task": autoencoder}),
        )
    ]  # fmt: skip
    assert len(set(found)) == len(found)
    assert len(found[0]) == 64
    assert load_npz(x, y, batch_size=7, calibration=10).fingerprint == found[0]  # another calibration trains nothing anew


def test_only_training_samples_are_augmented():
    data = digits(augment=Augment(shift=0.2))
    assert data.augments
    assert not digits().augments
    for split, is_augmented in ((data.train, True), (data.validation, False), (data.test, False), (data.calibration, False)):
        (plain, _), (augmented, _) = (next(iter(split.dataset(32, augment_seed=seed))) for seed in (None, 1))
        assert np.array_equal(plain, augmented) != is_augmented


def test_an_autoencoder_has_as_many_outputs_as_inputs():
    data = digits(task=Task(loss="mean_squared_error", metrics=["mean_squared_error"], target="input"))
    assert data.num_outputs == 64
    assert np.bincount(data.test.labels).min() > 30


def test_class_sources_refuse_tasks_on_values():
    with pytest.raises(
        DataError, match=r"data\.source: a regression task must have labels that are values, from npz, .* Received: 'digits'"
    ):
        digits(task=Task(loss="mean_squared_error", metrics=["mean_squared_error"]))


def test_a_class_with_too_few_samples_is_named(load_npz):
    x = np.arange(30, dtype=np.float32).reshape(30, 1)
    labels = np.array([0] * 14 + [1] * 14 + [2] * 2)
    message = r"\(3 splits\) must have at least one sample of class '2' \(label 2\) each. Received: 2 samples"
    with pytest.raises(DataError, match=message):
        load_npz(x, labels)
    with pytest.raises(DataError, match=r"at least one sample each. Received: 2 samples"):
        load_npz(x[:2], np.zeros(2), task=Task(loss="mean_squared_error", metrics=["mean_squared_error"]))


@pytest.mark.parametrize("sizes", [[50, 60, 400], [10, 10, 10, 200], [1, 1, 1], [400, 3, 3]])
@pytest.mark.parametrize("seed", range(4))
def test_one_large_group_leaves_no_split_empty(tmp_path, sizes, seed):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    x = np.arange(len(groups), dtype=np.float32).reshape(-1, 1)
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(len(groups)) % 7 / 7, who=groups)
    task = Task(loss="mean_squared_error", metrics=["mean_squared_error"])
    data = load_data(Data(source="npz", path=str(tmp_path / "data.npz"), group_by="who"), task, seed=seed)
    found = [set(groups[split.arrays()[0][:, 0].astype(int)]) for split in (data.train, data.validation, data.test)]
    assert all(found)
    assert sum(map(len, found)) == len(sizes)


@pytest.mark.parametrize(
    "fields", [{"test": 0.95}, {"test": 0.95, "validation": 0.95}, {"validation": 0.99}, {"test": 0.01, "validation": 0.01}]
)
def test_no_fraction_leaves_a_split_empty(load_npz, fields):
    x = np.arange(40, dtype=np.float32).reshape(40, 1)
    data = load_npz(x, np.arange(40) % 2, **fields)
    assert min(np.bincount(split.labels, minlength=2).min() for split in (data.train, data.validation, data.test, data.calibration)) >= 1
    values = load_npz(x[:3], np.zeros(3), task=Task(loss="mean_squared_error", metrics=["mean_squared_error"]), **fields)
    assert [len(split) for split in (values.train, values.validation, values.test, values.calibration)] == [1, 1, 1, 1]


def test_a_limit_that_leaves_a_class_without_samples_is_refused():
    with pytest.raises(DataError, match=r"train must have samples of every class after data\.group_by and data\.limit. Received: none of"):
        digits(limit=9)


def test_labels_file_names_the_classes(load_npz, tmp_path):
    x, y = np.arange(60, dtype=np.float32).reshape(60, 1), np.arange(60) % 3
    path = tmp_path / "names.txt"
    path.write_text("Stück\n\n zwei \ndrei\n", encoding="utf-8")
    assert load_npz(x, y, labels=str(path)).class_names == ["Stück", "zwei", "drei"]
    path.write_text("one\ntwo")
    with pytest.raises(DataError, match=r"y in .*: labels must be in 0..1, the 2 classes. Received: 2 at index 2, 20 such labels in all"):
        load_npz(x, y, labels=str(path))
    path.write_text("one\ntwo\nthree\nfour")
    with pytest.raises(DataError, match=r"names\.txt: data\.labels must hold one name per line for the 3 classes of y .*Received: 4 names"):
        load_npz(x, y, labels=str(path))
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(DataError, match=r"names\.txt: data\.labels must be a readable UTF-8 text file"):
        load_npz(x, y, labels=str(path))
    with pytest.raises(DataError, match=r"none\.txt: data\.labels must be a readable UTF-8 text file. Received: .*No such file"):
        load_npz(x, y, labels=str(tmp_path / "none.txt"))
    path.write_text("one\ntwo")
    with pytest.raises(DataError, match=r"data\.labels must hold one name per line for the 10 classes of .*Received: 2 names"):
        digits(labels=str(path))


def test_a_labels_file_in_another_order_is_refused_with_both(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("1 0 2 3 4 5 6 7 8 9".replace(" ", "\n"))
    with pytest.raises(DataError) as caught:
        digits(labels=str(path))
    assert str(caught.value) == (
        f"{path}: data.labels must be in the order of the classes of scikit-learn's digits, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9. "
        "Received: 1, 0, 2, 3, 4, 5, 6, 7, 8, 9."
    )
    path.write_text("zero one two three four five six seven eight nine".replace(" ", "\n"))
    assert digits(labels=str(path)).class_names[:2] == ["zero", "one"]


def test_a_labels_file_may_start_with_a_byte_order_mark_and_holds_each_name_once(load_npz, tmp_path):
    x, y = np.arange(60, dtype=np.float32).reshape(60, 1), np.arange(60) % 3
    path = tmp_path / "names.txt"
    path.write_text("first\nsecond\nthird", encoding="utf-8-sig")
    assert load_npz(x, y, labels=str(path)).class_names == ["first", "second", "third"]
    path.write_text("first\nsecond\nfirst")
    with pytest.raises(DataError, match=r"names\.txt: data\.labels must hold each name once\. Received: 'first' 2 times\.$"):
        load_npz(x, y, labels=str(path))


@pytest.mark.parametrize("kind", ["classification", "autoencoder"])
def test_a_classification_needs_two_classes(load_npz, kind):
    x, y = np.arange(60, dtype=np.float32).reshape(60, 1), np.zeros(60, int)
    if kind == "autoencoder":
        task = Task(loss="mean_squared_error", metrics=["mean_squared_error"], target="input")
        assert load_npz(x, y, task=task).class_names == ["0"]
        return
    with pytest.raises(
        DataError, match=r"^y in .*data\.npz: labels of a classification task must be of at least 2 classes\. Received: 0 alone\.$"
    ):
        load_npz(x, y)


def test_augmentation_of_features_is_refused(load_npz):
    with pytest.raises(DataError, match=r"data\.augment: needs images"):
        load_npz(np.zeros((60, 4)), np.arange(60) % 3, augment=Augment(flip="horizontal"))


def test_real_fashion_images_load(data_folder):
    path = str(data_folder / "fashion_mnist")
    data = load_data(Data(source="fashion_mnist", path=path, preprocess=Preprocess(scale=1 / 255)), Task(), seed=0)
    assert [len(split) for split in (data.train, data.validation, data.test, data.calibration)] == [54_000, 6_000, 10_000, 200]
    assert np.bincount(data.validation.labels).tolist() == [600] * 10
    assert np.bincount(data.calibration.labels).tolist() == [20] * 10
    inputs, labels = data.test.arrays()
    with gzip.open(data_folder / "fashion_mnist" / "t10k-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(inputs.shape)
    np.testing.assert_allclose(inputs, pixels / 255, rtol=2e-7)  # one rounding of the factor, one of the product
    assert np.array_equal(labels, data.test.labels)
