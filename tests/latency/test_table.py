"""The file of a table: what is written is read, and what is no table is said."""

import json

import pytest

from edgecompress.errors import DataError
from edgecompress.latency import load_table


def test_what_is_saved_is_loaded(law_table, law_rows):
    table = load_table(law_table)
    assert table.rows == law_rows
    assert table.updated_at.endswith("+00:00")
    assert len(law_table.read_text().splitlines()) > len(law_rows)  # a row is a line: two tables can be compared


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (lambda text: text[: len(text) // 2], r"must be a whole latency table in JSON\. Received: .*; it may be cut off\."),
        (lambda text: "", r"must be a whole latency table in JSON"),
        (lambda text: '{"name": "a report"}', r"must be a latency table, as edgecompress learn-latency makes it\. Received: JSON"),
        (lambda text: "[1, 2]", r"Received: JSON of another kind"),
        (lambda text: text.replace('"version": 1', '"version": 9', 1), r"the table must be of version 1\. Received: version 9; update"),
        (lambda text: text.replace('"p50_ms":', '"p51_ms":', 1), r"rows\.0\.p50_ms must be as .* writes it .*\. Received: nothing\."),
        (lambda text: text.replace('"kernels":"xnnpack"', '"kernels":3', 1), r"rows\.0\.kernels must be as .* Received: 3\."),
        (lambda text: text.replace('"p50_ms":0.', '"p50_ms":-0.', 1), r"rows\.0\.p50_ms must be"),
    ],
)
def test_what_is_no_table_is_said(law_table, tmp_path, change, pattern):
    path = tmp_path / "latency.json"
    path.write_text(change(law_table.read_text()))
    with pytest.raises(DataError, match=pattern):
        load_table(path)


def test_rows_of_one_file_stand_once(law_table, tmp_path):
    values = json.loads(law_table.read_text())
    values["rows"].append(values["rows"][0])
    (tmp_path / "twice.json").write_text(json.dumps(values))
    with pytest.raises(DataError, match="rows must each be of another file or number of threads"):
        load_table(tmp_path / "twice.json")


def test_a_name_that_is_near_is_offered(law_table):
    with pytest.raises(DataError, match=r"Received: nothing is there\. Did you mean 'latency-law\.json'\?"):
        load_table(law_table.with_name("latency-lav.json"))
    with pytest.raises(DataError, match="a latency table must be readable"):
        load_table(law_table.parent)
