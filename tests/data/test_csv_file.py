import numpy as np
import pytest

from edgecompress.data import load_data
from edgecompress.errors import DataError
from edgecompress.recipe.schema import Data, Task

REGRESSION = Task(loss="mean_squared_error", metrics=["mean_squared_error"])
AUTOENCODER = Task(loss="mean_squared_error", metrics=["mean_squared_error"], target="input")
VALUES = np.round(np.random.default_rng(0).normal(size=(60, 3)), 3)


def lines(values=VALUES, labels=None, header=None, delimiter=","):
    """The text of a file: one column of labels behind the values, if there are labels."""
    rows = [[str(value) for value in row] + ([str(labels[index])] if labels is not None else []) for index, row in enumerate(values)]
    return "\n".join(delimiter.join(row) for row in ([header] if header else []) + rows) + "\n"


@pytest.fixture
def load(tmp_path):
    """`load(text, task=..., **fields of data)` through a file."""

    def load_text(text, task=None, **fields):
        (tmp_path / "data.csv").write_text(text)
        return load_data(Data(source="csv", path=str(tmp_path / "data.csv"), **fields), task or Task(), seed=0)

    return load_text


def all_samples(data):
    """Inputs and labels of all splits, in the order of the first feature."""
    inputs, labels = zip(*(split.arrays() for split in (data.train, data.validation, data.test)), strict=True)
    order = np.argsort(np.concatenate(inputs)[:, 0])
    return np.concatenate(inputs)[order], np.concatenate(labels)[order]


SORTED = VALUES[np.argsort(VALUES[:, 0])].astype(np.float32)
LABELS = np.arange(60) % 3


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", [None, ["one", "two", "three", "kind"]])
def test_the_last_column_is_the_label_with_and_without_a_header(load, header, delimiter):
    data = load(lines(labels=LABELS, header=header, delimiter=delimiter))
    inputs, labels = all_samples(data)
    assert np.array_equal(inputs, SORTED)
    assert np.array_equal(labels, LABELS[np.argsort(VALUES[:, 0])])
    assert (data.input_shape, data.num_outputs, data.class_names) == ((3,), 3, ["0", "1", "2"])


@pytest.mark.parametrize("label", ["kind", 0, -4])
def test_the_label_column_is_found_by_name_and_number(load, label):
    values = np.column_stack([LABELS, VALUES])
    text = "\n".join(["kind,a,b,c", *(f"{int(row[0])},{row[1]},{row[2]},{row[3]}" for row in values)])
    inputs, labels = all_samples(load(text, label=label))
    assert np.array_equal(inputs, SORTED)
    assert np.array_equal(labels, LABELS[np.argsort(VALUES[:, 0])])


def test_labels_that_are_text_are_classes_in_sorted_order(load):
    names = np.array(["virginica", "setosa", "versicolor"])
    data = load(lines(labels=names[LABELS]))
    assert data.class_names == ["setosa", "versicolor", "virginica"]
    _, labels = all_samples(data)
    assert np.array_equal(np.array(data.class_names)[labels], names[LABELS][np.argsort(VALUES[:, 0])])


def test_a_folder_has_the_parts_of_its_files(tmp_path):
    names = np.array(["yes", "no", "maybe"])
    for part, rows in (("train", slice(0, 40)), ("test", slice(40, 60))):
        (tmp_path / f"{part}.csv").write_text(lines(VALUES[rows], names[LABELS][rows]))
    data = load_data(Data(source="csv", path=str(tmp_path)), Task(), seed=0)
    inputs, labels = data.test.arrays()
    assert np.array_equal(inputs, VALUES[40:].astype(np.float32))
    assert [data.class_names[label] for label in labels] == names[LABELS][40:].tolist()
    (tmp_path / "test.csv").write_text(lines(VALUES[:2], ["yes", "noo"]))
    with pytest.raises(
        DataError, match=r"test\.csv:2: label must be one of the classes of train, maybe, no, yes\. Received: 'noo'\. Did you mean 'no'\?"
    ):
        load_data(Data(source="csv", path=str(tmp_path)), Task(), seed=0)


def test_values_are_labels_of_a_regression_in_several_columns(load):
    data = load(lines(header=["a", "b", "c"]), REGRESSION, label=["c", "b"])
    inputs, labels = all_samples(data)
    assert np.array_equal(inputs, SORTED[:, :1])
    assert np.array_equal(labels, SORTED[:, [2, 1]])


def test_an_autoencoder_needs_no_label_and_may_have_one(load):
    data = load(lines(), AUTOENCODER)
    inputs, targets = all_samples(data)
    assert np.array_equal(inputs, SORTED)
    assert np.array_equal(targets, SORTED)
    assert load(lines(labels=LABELS), AUTOENCODER, label=3).input_shape == (3,)


def test_a_column_of_groups_keeps_samples_together_and_is_no_feature(load):
    people = [f"person {index // 5}" for index in range(60)]
    text = "\n".join(["a,who,kind", *(f"{index},{who},{index % 2}" for index, who in enumerate(people))])
    data = load(text, group_by="who")
    seen = [{people[int(value)] for value in split.arrays()[0][:, 0]} for split in (data.train, data.validation, data.test)]
    assert sum(len(group) for group in seen) == 12
    assert data.input_shape == (1,)


@pytest.mark.parametrize("column", ["x", "y", "x_train", "group"])
def test_a_column_of_groups_may_have_any_name(load, column):
    text = "\n".join([f"a,{column},kind", *(f"{index},{index // 5},{index % 2}" for index in range(60))])
    data = load(text, group_by=column)
    assert data.input_shape == (1,)
    seen = [set(split.arrays()[0][:, 0] // 5) for split in (data.train, data.validation, data.test)]
    assert sum(map(len, seen)) == 12


NAMES = np.array(["setosa", "virginica", "versicolor"])


@pytest.mark.parametrize(
    ("header", "labels"),
    [
        (["0", "1", "2", "3"], LABELS),
        (["0", "1", "2", "3"], NAMES[LABELS]),
        (["0", "1", "2", "label"], LABELS),
        (["0", "1", "2", "label"], NAMES[LABELS]),
        (["400", "410", "420", "label"], LABELS),
        (["2020", "b", "2022", "3"], LABELS),
        (["2020", "2021", "b", "label"], NAMES[LABELS]),
    ],
)
def test_a_header_that_holds_numbers_is_no_sample_and_is_told_of(load, header, labels):
    data = load(lines(labels=labels, header=header))
    inputs, found = all_samples(data)
    assert np.array_equal(inputs, SORTED)
    assert np.array_equal(np.array(data.class_names)[found], labels[np.argsort(VALUES[:, 0])].astype(str))
    [warning] = data.warnings
    assert warning.endswith(f"not for a sample, though it holds numbers. Received: '{', '.join(header)}'.")
    assert np.array_equal(all_samples(load(lines(labels=labels, header=header), label=3))[0], SORTED)


def test_a_label_that_is_text_over_values_is_a_header(load):
    data = load(lines(labels=VALUES[:, 0], header=["400", "410", "420", "target"]), REGRESSION, label="target")
    assert np.array_equal(all_samples(data)[1][:, 0], SORTED[:, 0])


@pytest.mark.parametrize("first", ["5.5,1,0.25,setosa", "0,1,3,setosa", "0.0,1.0,2.0,setosa", "1,0,2,setosa"])
def test_a_first_sample_is_no_header(load, first):
    data = load(first + "\n" + lines(labels=NAMES[LABELS]))
    assert len(all_samples(data)[0]) == 61
    assert data.warnings == ()


@pytest.mark.parametrize("first", ["1,,2,0", "1,NA,2,0", "1,inf,2,0", "1,?,2,0"])
def test_a_first_sample_without_a_value_is_no_header(load, first):
    with pytest.raises(DataError, match=r"data\.csv:1: column '1' must hold finite float32 numbers\."):
        load(first + "\n" + lines(labels=LABELS))


def test_quotes_blank_lines_spaces_and_a_byte_order_mark_do_not_matter(load):
    plain = lines(labels=LABELS)
    rows = plain.splitlines()
    written = "\ufeff" + "\r\n\r\n".join([", ".join(f'"{field}"' for field in rows[0].split(",")).replace(", ", ","), *rows[1:]])
    assert np.array_equal(all_samples(load(written))[0], all_samples(load(plain))[0])


def test_long_files_are_read_in_blocks(load, monkeypatch):
    whole = all_samples(load(lines(labels=LABELS)))
    monkeypatch.setattr("edgecompress.data.csv_file.NUM_CONVERTED", 7)
    assert np.array_equal(all_samples(load(lines(labels=LABELS)))[0], whole[0])


@pytest.mark.parametrize(
    ("text", "fields", "message"),
    [
        ("a,colour,y\n1,2,0\n1,red,1\n", {}, r"data\.csv:3: column 'colour' must hold finite float32 numbers\. Received: 'red'\.$"),
        ("1,2,0\n\n1,,1\n", {}, r"data\.csv:3: column '1' must hold finite float32 numbers\. Received: ''\.$"),
        ("1,nan,0\n", {}, r"data\.csv:1: column '1' must hold finite float32 numbers\. Received: 'nan'\.$"),
        ("1,2,0\n1,1e300,0\n", {}, r"data\.csv:2: column '1' must hold finite float32 numbers\. Received: '1e300'\.$"),
        ("1,2,0\n1,2\n", {}, r"data\.csv:2: line must have 3 fields, like the first\. Received: 2\.$"),
        ("1,2,0\n1,2,zero\n", {"label": 5}, r"data\.label must be one of the columns 0, 1, 2, or a number from 0 to 2\. Received: 5\."),
        ("width,kind\n1,2\n", {"label": "knid"}, r"data\.label must be one of the columns .*Received: 'knid'\. Did you mean 'kind'\?"),
        ("width,kind\n1,2\n", {"group_by": "who"}, r"data\.group_by must be one of the columns .*Received: 'who'\."),
        ("kind\n1\n", {}, r"must have columns of features beside labels and groups\. Received: kind\.$"),
        ("1,2,0\n", {"label": [0, 1]}, r"data\.label must be one column of classes for a classification task\. Received: \[0, 1\]\.$"),
        ("", {}, r"data\.csv: must hold one sample per line\. Received: an empty file\.$"),
        ("a,b\n", {}, r"data\.csv: must hold one sample per line\. Received: a header alone\.$"),
        ('1,2,"0\n', {}, r"data\.csv:1: must be a line of fields\. Received: unexpected end of data\.$"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_its_line(load, text, fields, message):
    with pytest.raises(DataError, match=message):
        load(text, **fields)


def test_a_file_that_is_no_text_or_is_not_there_is_named(tmp_path):
    (tmp_path / "data.csv").write_bytes(b"\xff\xfe1,2\n")
    with pytest.raises(DataError, match=r"data\.csv: must be a UTF-8 text file\. Received: .*can't decode byte"):
        load_data(Data(source="csv", path=str(tmp_path / "data.csv")), Task(), seed=0)
    with pytest.raises(
        DataError, match=r"none\.csv: data\.path must be a \.csv file, or a folder that holds train\.csv\. Received: neither"
    ):
        load_data(Data(source="csv", path=str(tmp_path / "none.csv")), Task(), seed=0)
