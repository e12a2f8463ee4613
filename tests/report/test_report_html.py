"""The HTML page: whole, self-contained, escaped, and honest about what is missing."""

import re
from html.parser import HTMLParser

import pytest

from edgecompress.report.html import render_html, stage_plots
from edgecompress.report.schema import Report
from edgecompress.report.sections import benchmark_table, blocks
from edgecompress.report.summary import comparison_block

SECTIONS = ["goals", "models", "classes", "stages", "keeps", "layers", "file", "benchmark", "data", "environment", "recipe", "warnings"]
ALL_PLOTS = ["tradeoff", "latency", "stage_parameters", "stage_bytes", "stage_metric", "training_loss", "training_metric", "layer_bytes"]
VOID = {"meta", "link", "br", "hr", "img", "input"}
ATTACK = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """Checks that tags are closed in order; collects tags, attributes and text."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def values(self, name):
        return [value for _, attribute, value in self.attributes if attribute == name]


@pytest.fixture(scope="module")
def page_of():
    return lambda report: Page(render_html(report))


def section_ids(page):
    return [value for tag, name, value in page.attributes if tag == "section" and name == "id"]


def test_page_has_all_sections_in_order_and_all_plots(report, page_of):
    page = page_of(report)
    assert page.open == []
    assert section_ids(page) == SECTIONS
    prefixes = {value.rsplit("-figure", 1)[0] for value in page.values("id") if "-figure" in value}
    assert prefixes == set(ALL_PLOTS)


def test_page_loads_nothing(report):
    html = render_html(report)
    page = Page(html)
    assert "http:" not in html
    assert "https:" not in html
    assert "@import" not in html
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert page.values("src") == []
    assert all(target.startswith("#") for name in ("href", "xlink:href") for target in page.values(name))
    assert all(target.startswith("url(#") for target in re.findall(r"url\([^)]*", html))
    assert ("meta", "content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes


def test_links_and_ids_fit_together(report, page_of):
    page = page_of(report)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {target[1:] for target in page.values("href")} <= set(ids)


def test_page_is_made_for_phones_and_for_both_colour_schemes(report):
    html = render_html(report)
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in html
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    tables = html.count("<table>")
    assert tables == len(re.findall(r'<div class="box[^>]*>\s*<table>', html)) > 5  # each scrolls in a box of its own


def test_drawings_use_no_fixed_colours(report):
    for drawing in re.findall(r"<svg.*?</svg>", render_html(report), flags=re.DOTALL):
        colours = re.findall(r"(?:fill|stroke): ?([^;\"]+)", drawing)
        assert colours
        assert all(colour in ("none", "currentColor", "inherit") or colour.startswith("var(--plot-") for colour in colours)


def test_strangers_names_are_escaped_everywhere(values, page_of):
    clean = page_of(Report.model_validate(values))
    values["name"] = ATTACK
    values["recipe"] = {"name": ATTACK, ATTACK: "${jndi}"}
    values["warnings"] = [ATTACK]
    values["status"] = "done"
    values["data"] |= {"source": ATTACK, "class_names": [ATTACK] * 10}
    values["environment"]["cpu"] = ATTACK
    values["verdict"]["metric"] = ATTACK
    values["stages"][1] |= {"id": ATTACK, "technique": ATTACK, "released": [ATTACK], "reasons": [ATTACK]}
    for layer in values["stages"][1]["layers"]:
        layer |= {"name": ATTACK, "type": ATTACK, "reason": ATTACK, "after": {ATTACK: ATTACK}}
    for keep in values["stages"][-1]["keeps"]:
        keep |= {"layer": ATTACK, "what": ATTACK, "held": False}
    for layer in values["layer_bytes"]:
        layer["name"] = ATTACK
    for entry in values["benchmark"]:
        entry |= {"host": ATTACK, "cpu": {"model": ATTACK}, "trusted": False, "distrust_reasons": [ATTACK]}
    values["benchmark"][0]["error"] = ATTACK
    values["artifact"] |= {"path": ATTACK, "ops": {ATTACK: 1}, "bytes_by_type": {ATTACK: 10}}
    values["artifact"]["inputs"][0]["name"] = ATTACK
    values["conversion"] = {"rung": ATTACK, "refused": [ATTACK]}
    values["goals"][0]["name"] = ATTACK
    page = page_of(Report.model_validate(values))
    assert page.open == []
    assert set(page.tags) <= set(clean.tags)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert any(ATTACK in text for text in page.text)


def test_text_that_looks_like_our_markup_stays_text(values):
    values["layer_bytes"][0]["name"] = 'id="x" #010407 url(#y)'
    assert 'id="x" #010407 url(#y' in render_html(Report.model_validate(values)).replace("&#34;", '"').replace("&quot;", '"')


@pytest.mark.parametrize("name", ["$x^$", "\\alpha", "a\nb\tc", "\x00\x07", "層", "x" * 500, ""])
def test_odd_names_can_be_drawn(values, name, recwarn):
    values["layer_bytes"][0]["name"] = name
    values["stages"][1]["id"] = name
    assert "<svg" in render_html(Report.model_validate(values))
    assert [str(warning.message) for warning in recwarn] == []


def minimal(values):
    """What every report has, and no more."""
    stage = values["stages"][0] | {"training": [], "layers": [], "keeps": [], "metrics": {}}
    needed = ("path", "format", "bytes", "gzip_bytes", "sha256", "baseline_bytes", "plain_bytes", "ratio")
    kept = ("name", "seed", "started_at", "seconds", "edgecompress_version", "data")
    return {key: values[key] for key in kept} | {
        "environment": {"python": "3.12.1"}, "recipe": {}, "stages": [stage], "metrics": {"baseline": {}, "plain": {}, "final": {}},
        "artifact": {key: values["artifact"][key] for key in needed},
    }  # fmt: skip


def test_empty_sections_vanish(values, page_of):
    page = page_of(Report.model_validate(minimal(values)))
    assert section_ids(page) == ["models", "stages", "file", "data", "environment"]
    assert {value.rsplit("-figure", 1)[0] for value in page.values("id") if "-figure" in value} == {"stage_parameters", "stage_bytes"}
    assert page.open == []


def test_equal_reports_give_equal_pages(values):
    assert render_html(Report.model_validate(values)) == render_html(Report.model_validate(values))


def test_page_says_what_failed(values):
    values["status"] = "device_failed"
    for entry in values["benchmark"]:
        if entry["model"] == "final":
            entry |= {"p50_ms": None, "p95_ms": None, "p50_interval_ms": None, "trusted": False, "error": "no answer within 60 s"}
    values["stages"][-1]["keeps"][0] |= {"held": False, "on_tflite": None}
    html = render_html(Report.model_validate(values)).replace("\u00a0", " ")
    assert '<span class="badge bad">device_failed</span>' in html
    assert "final on local, 2 threads, was not measured: no answer within 60 s" in html
    assert "11 of 12 held" in html
    assert "Broken keeps" in html
    assert "not found" in html


def test_keeps_are_those_in_force_at_the_end_each_once(values):
    values["stages"][4]["keeps"] = [keep for keep in values["stages"][4]["keeps"] if keep["kind"] == "mask"]
    report = Report.model_validate(values)
    (block,) = [block for block in blocks(report) if block.key == "keeps"]
    assert block.paragraphs[-1] == "6 of 6 held."
    (table,) = block.tables
    assert {row[1].text for row in table.rows} == {"01 cut"}
    assert "not found" not in render_html(report)


@pytest.mark.parametrize(
    ("stages", "ranges", "shrink", "words"),
    [
        (True, "min_max", True, "is what the stages and the lossless shrink did."),
        (True, "mse", True, "is what the stages, the ranges of activations (mse; the plain file has min_max) and the lossless shrink did."),
        (False, "kl", False, "is what the ranges of activations (kl; the plain file has min_max) did."),
        (False, "min_max", False, "without any stage: here that is the final file too."),
    ],
)
def test_what_parts_the_plain_file_from_the_final_one_is_named(values, stages, ranges, shrink, words):
    values["recipe"]["export"]["ranges"] = ranges
    values["artifact"]["shrink"] = {"bytes_before": 900_000} if shrink else None
    values["stages"] = values["stages"] if stages else values["stages"][:1]
    assert comparison_block(Report.model_validate(values)).paragraphs[-1].endswith(words)


def test_the_head_says_which_device_the_file_is_for(values):
    values["recipe"]["target"] = {"device": "pi4 <b>"}
    assert '<p class="byline">meant for pi4 &lt;b&gt; · 2026-01-31' in render_html(Report.model_validate(values))


@pytest.mark.parametrize("parted", [True, False])
def test_load_and_allocate_stand_apart_where_they_were_measured_apart(values, parted):
    for entry in [] if parted else values["benchmark"]:
        entry |= {"load_ms": None, "allocate_ms": None}
    table = benchmark_table(Report.model_validate(values))
    shown = dict(zip(table.names, (cell.text for cell in table.rows[0]), strict=True))
    found = {name: text for name, text in shown.items() if name in ("Load", "Allocate", "Load and allocate")}
    assert found == ({"Load": "0.2100", "Allocate": "1.100"} if parted else {"Load and allocate": "1.310"})


def test_what_holds_for_several_entries_is_said_once(values):
    golden = {"samples": 16, "kernels": "xnnpack", "largest_difference": 0, "across": None}
    for entry in values["benchmark"]:
        entry |= {"golden": golden, "trusted": False, "distrust_reasons": ["the load was 3.1"]}
    values["benchmark"][1]["distrust_reasons"] = ["the load was 3.1", "the interval is wide"]
    (block,) = [block for block in blocks(Report.model_validate(values)) if block.key == "benchmark"]
    text = "\n".join(block.paragraphs)
    assert text.count("golden outputs") == 1
    assert "final on local, 1 and 2 threads: golden outputs" in text
    assert "Not trusted: the load was 3.1.\n" in text
    assert text.endswith("Not trusted: the interval is wide (plain on local, 1 thread).")


def test_titles_keep_the_letters_of_a_metric(values):
    values["verdict"] |= {"metric": "auc"}
    values["ladder"] = [{"name": "int8", "seconds": 1, "num_bytes": 9, "metric": 0.9, "drop": 0.01}]
    values["parity"] = {"metric": "auc", "keras": 0.9, "tflite": 0.9, "difference": 0, "differs": False}
    html = render_html(Report.model_validate(values)).replace("\u00a0", " ")
    assert "AUC on the validation split: 0.9 in Keras" in html
    assert "Auc" not in html


def test_gzip_is_called_a_transport_ratio(report):
    html = render_html(report).replace("\u00a0", " ")
    assert "402 kB, transport ratio 8.67x to the uncompressed baseline" in html


def test_losses_are_not_told_in_percent(values):
    for model in values["metrics"].values():
        for kind in model:
            model[kind] = {"mean_squared_error": 0.0123}
    for stage in values["stages"]:
        stage["metrics"] = {"validation": {"mean_squared_error": 0.0125}}
    test = {"baseline": 0.0123, "final": 0.0131, "drop": 0.0008, "confidence_interval": [0.0002, 0.0014]}
    values["verdict"] = {"metric": "mean_squared_error", "direction": "falls", "validation": {"final": 0.013}, "test": test}
    html = render_html(Report.model_validate(values)).replace("\u00a0", " ")
    assert (
        "Mean squared error on the test split is 0.0008 higher (0.0123 → 0.0131), 95 % interval 0.0002 to 0.0014: more than noise." in html
    )
    assert "points" not in html
    assert "1.23 %" not in html


def test_notebook_fragment_draws_the_stages(report):
    fragment = stage_plots(report)
    assert fragment.count("<svg") == 3
    assert Page(fragment).open == []
