"""What a solve knows of earlier calls holds where they were made."""

import platform

import pytest

from edgecompress.progress import Progress
from edgecompress.solving.clock import Clock
from edgecompress.solving.journal import Journal
from edgecompress.solving.question import ask
from edgecompress.solving.workshop import Workshop


@pytest.mark.parametrize(
    ("limit", "holds_elsewhere"),
    [
        ({"size_kb": 60.0}, True),
        ({"p95_ms": {"limit": 5.0, "host": "pi4"}}, True),
        ({"p50_ms": 5.0}, False),
        ({"peak_rss_kb": 9e5}, False),
    ],
)
def test_steps_and_endings_with_times_of_one_machine_are_not_taken_on_another(tiny, tmp_path, monkeypatch, limit, holds_elsewhere):
    question = ask(str(tiny), {"metric_drop": 0.01, **limit})
    journal, clock = Journal(tmp_path / "journal.json", question), Clock(question.recipe, Progress())
    workshop = Workshop(question, tmp_path, journal, clock, Progress(), allow_code=False)
    here = workshop._key(question.recipe), question.limit_part()
    assert here == (workshop._key(question.recipe), question.limit_part())
    monkeypatch.setattr(platform, "node", lambda: "another")
    there = workshop._key(question.recipe), question.limit_part()
    assert [one == other for one, other in zip(here, there, strict=True)] == [holds_elsewhere] * 2
