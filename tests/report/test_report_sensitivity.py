"""Sensitivity curves in a report and on a page of their own."""

import pytest

from edgecompress.report.html import render_html
from edgecompress.report.markdown import render_markdown
from edgecompress.report.schema import Report, SensitivityReport
from edgecompress.report.sensitivity import curves_table, sensitivity_block
from edgecompress.report.sensitivity_page import render_sensitivity, sensitivity_figure

CURVES = {
    "metric": "accuracy", "rises": True, "whole": 0.92,
    "curves": [
        {"name": "robust", "levels": [0.25, 0.5], "metrics": [0.92, 0.91]},
        {"name": "frail <b>", "levels": [0.5], "metrics": [0.4]},
        {"name": "tiny", "levels": [], "metrics": []},
    ],
}  # fmt: skip


@pytest.fixture
def report(values):
    values["stages"][1]["sensitivity"] = CURVES
    return Report.model_validate(values)


def test_those_that_lose_most_come_first_and_missing_levels_are_empty():
    rows = [[cell.text for cell in row] for row in curves_table(SensitivityReport.model_validate(CURVES)).rows]
    assert rows == [["frail <b>", "", "40.00 %"], ["robust", "92.00 %", "91.00 %"], ["tiny", "", ""]]


BITS = CURVES | {"of": "bits", "curves": [{"name": "conv1", "levels": [0.75, 0.8125, 0.875, 0.90625, 0.9375], "metrics": 5 * [0.9]}]}


def test_levels_of_bits_are_the_bits_that_are_left():
    found = SensitivityReport.model_validate(BITS)
    assert curves_table(found).names == ("Part", "8 bits", "6 bits", "4 bits", "3 bits", "2 bits")
    page = render_sensitivity("trial", {**BITS, "of": None}, "bits").replace("\u00a0", " ")
    assert ">4 bits<" in page
    assert "gone" not in page
    assert "bits of the layer's weights" in page.replace("&#x27;", "'").replace("&#39;", "'")


@pytest.mark.parametrize(
    ("of", "words"), [("channels", "group of channels"), ("parameters", "into factors"), (None, "a part alone"), ("new", "a part alone")]
)
def test_what_is_gone_is_named_where_the_report_says_it(of, words):
    block = sensitivity_block("key", "", SensitivityReport.model_validate({**CURVES, "of": of}))
    assert words in block.paragraphs[0]
    assert block.tables[0].names == ("Part", "25.0 % gone", "50.0 % gone")


def test_a_stage_shows_what_decided_its_ratios(report):
    page, text = render_html(report), render_markdown(report)
    assert "Sensitivity before 01" in page
    assert "Sensitivity before 01" in text
    assert "Accuracy of the whole model on the validation split: 92.00 %." in text


@pytest.mark.parametrize("render", [lambda: render_sensitivity("trial", CURVES), lambda: sensitivity_figure(CURVES)])
def test_names_from_outside_are_escaped(render):
    page = render()
    assert "<svg" in page
    assert "frail <b>" not in page
