"""Markdown: the same sections as the page, and nothing of a stranger's that is more than words."""

import re

import pytest

from edgecompress.report.markdown import escape_markdown, render_markdown
from edgecompress.report.schema import Report


def test_markdown_has_headline_sections_and_whole_tables(report):
    text = render_markdown(report)
    assert text.startswith("# fashion_mnist_pruned_int8\n")
    assert "- **Size: 3.94x smaller** (3.49 MB → 886 kB, the file that runs)" in text
    assert "- **Goals: 2 of 3 met** (p95 0.4748 ms, limit 0.4000 ms)" in text
    headings = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    assert headings == [
        "Goals", "Baseline, plain converter, final", "Classes", "Stages", "Keeps", "Layers", "The file", "Benchmark", "Data", "Environment",
        "Resolved recipe", "Warnings",
    ]  # fmt: skip
    for table in re.findall(r"(?:^\|.*\|\n)+", text, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1  # equally many cells in each row


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("<script>", "&lt;script&gt;"), ("a|b", r"a\|b"), ("conv2d_1", "conv2d_1"), ("__init__", r"\_\_init\_\_"), ("*x*", r"\*x\*"),
        ("[a](http://x)", r"\[a\](http://x)"), ("two\nlines", "two lines"), ("`x`", r"\`x\`"), ("R&D", "R&amp;D"), (r"a\|b", r"a\\\|b"),
    ],
)  # fmt: skip
def test_names_stay_words(text, escaped):
    assert escape_markdown(text) == escaped


def test_recipe_cannot_leave_its_block(values):
    values["recipe"] = {"name": "x", "note": "```\n# not a heading\n````"}
    text = render_markdown(Report.model_validate(values))
    fence = re.search(r"^(`+)yaml$", text, flags=re.MULTILINE).group(1)
    assert len(fence) == 5


def test_strangers_names_make_no_html(values):
    values["stages"][1]["layers"][0]["name"] = "<img src=x onerror=alert(1)>"
    values["warnings"] = ["<b>"]
    assert not re.search(r"<[a-z]", render_markdown(Report.model_validate(values)))
