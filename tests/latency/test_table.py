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


def test_rows_that_an_earlier_version_wrote_twice_become_one(law_table, law_rows, tmp_path):
    values = json.loads(law_table.read_text())
    first, second, third = values["rows"][:3]
    values["rows"] += [
        {**first, "p50_ms": first["p50_ms"] / 2, "visits": 3},
        {**second, "p50_ms": None, "error": "it is refused"},
        {**third, "threads": 2},
    ]
    values["rows"].insert(0, {**first, "p50_ms": None, "error": "it is refused"})
    (tmp_path / "twice.json").write_text(json.dumps(values))
    table = load_table(tmp_path / "twice.json")
    assert [(row.p50_ms, row.visits, row.error) for row in table.rows[:2]] == [
        (law_rows[0].p50_ms / 2, law_rows[0].visits + 4, None), (law_rows[1].p50_ms, law_rows[1].visits + 1, None)
    ]  # fmt: skip
    assert table.rows[2:-1] == law_rows[2:]
    assert (table.rows[-1].key, table.rows[-1].threads) == (law_rows[2].key, 2)
    table.save(tmp_path / "once.json")
    assert load_table(tmp_path / "once.json").rows == table.rows


def test_a_name_that_is_near_is_offered(law_table):
    with pytest.raises(DataError, match=r"Received: nothing is there\. Did you mean 'latency-law\.json'\?"):
        load_table(law_table.with_name("latency-lav.json"))
    with pytest.raises(DataError, match="a latency table must be readable"):
        load_table(law_table.parent)
