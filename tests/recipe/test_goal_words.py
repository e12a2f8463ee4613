"""Limits as words of a command line."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecompress.errors import RecipeError
from edgecompress.recipe.goal_words import parse_goals


def test_limits_hosts_and_fractions():
    words = ["metric_drop=1/200", "size_kb = 60", "p50_ms=2", "p95_ms=5@pi@board.local"]
    assert parse_goals(words) == {
        "metric_drop": 0.005, "size_kb": 60.0, "p50_ms": 2.0, "p95_ms": {"limit": 5.0, "host": "pi@board.local"},
    }  # fmt: skip


@given(st.floats(1e-6, 1e9))
def test_every_number_comes_through(number):
    assert parse_goals([f"size_kb={number!r}"]) == {"size_kb": number}


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        (["size=60"], r"goal must be one of .* Received: 'size'\. Did you mean 'size_kb'\?"),
        (["size_kb"], r"goal must be NAME=NUMBER"),
        (["=3"], r"goal must be NAME=NUMBER"),
        (["size_kb=60kB"], r"size_kb: limit must be a number in kb, without its unit\. Received: '60kB'"),
        (["metric_drop=1%"], r"metric_drop: limit must be a number, without its unit"),
        (["size_kb=-1"], r"size_kb must be a number greater than 0"),
        (["p50_ms=nan"], r"limit must be a number greater than 0"),
        (["size_kb=60@pi4"], r"size_kb: host must be given for p50_ms and p95_ms only"),
        (["p95_ms=5@-oProxyCommand=x"], r"p95_ms: host must be local, or a destination of ssh"),
        (["size_kb=60", "size_kb=70"], r"size_kb must be given once"),
    ],
)
def test_what_is_no_limit_is_refused(words, pattern):
    with pytest.raises(RecipeError, match=pattern):
        parse_goals(words)


def test_message_is_one_line():
    with pytest.raises(RecipeError) as caught:
        parse_goals([f"size_kb={'x' * 500}"])
    assert re.fullmatch(r".{1,250}", str(caught.value))
