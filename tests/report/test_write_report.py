"""The three files of a report on disk."""

import subprocess
import sys

import pytest

from edgecompress.errors import StorageError
from edgecompress.report import Report, write_report


def test_three_files_are_written_and_nothing_else(report, tmp_path):
    page = write_report(report, tmp_path / "run")
    assert page == tmp_path / "run" / "report.html"
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["report.html", "report.json", "report.md"]
    assert page.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert Report.load(tmp_path / "run") == report


def test_writing_again_gives_the_same_bytes(report, tmp_path):
    write_report(report, tmp_path / "first")
    write_report(Report.load(tmp_path / "first"), tmp_path / "second")
    for name in ("report.html", "report.json", "report.md"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_storage_that_fails_leaves_the_old_report(report, tmp_path, monkeypatch):
    write_report(report, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(StorageError, match=r"report\.json: cannot be written: the disk is full"):
        write_report(report.model_copy(update={"name": "other"}), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_reading_a_report_needs_neither_tensorflow_nor_matplotlib():
    code = "import sys; import edgecompress.report; print([name for name in ('tensorflow', 'matplotlib', 'jinja2') if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
