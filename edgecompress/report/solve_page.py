"""What a solve tried and found, as a page, as Markdown and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from edgecompress import __version__
from edgecompress.report.canvas import Plot, plot_style
from edgecompress.report.document import Block, Card, Cell, Table, make_table
from edgecompress.report.html import render_page
from edgecompress.report.markdown import render_document
from edgecompress.report.search_plot import search_plots
from edgecompress.report.words import (
    bytes_text,
    count_text,
    difference_text,
    difference_unit,
    metric_text,
    metric_title,
    missed_text,
    ms_text,
    seconds_text,
    short_count_text,
)

STATUS = {
    "met": ("all limits kept", "good"),
    "budget spent": ("the budget is spent", "bad"),
    "nothing left": ("nothing is left to try", "bad"),
}  # fmt: skip
MEANING = (
    "From cheap to costly. Each step is an ordinary recipe, judged on the validation split; what steps share is done once. "
    "Steps that train nothing look how far a way must go to keep the limits on the file; trainings are spent on those that do."
)


def render_solve(values: Mapping[str, Any], chosen_recipe: str, moment: str) -> str:
    """A page of its own.

    Args:
        values: `Solution.to_dict()`.
        chosen_recipe: YAML.
        moment: when it ended.
    """
    drawings = _draw(values)
    blocks = _blocks(values, chosen_recipe, tuple(drawings))
    return render_page("edgecompress solve", values["name"], _byline(values, moment), _cards(values), blocks, drawings)


def render_solve_markdown(values: Mapping[str, Any], chosen_recipe: str, moment: str) -> str:
    """The same without drawings."""
    return render_document(values["name"], _byline(values, moment), _cards(values), _blocks(values, chosen_recipe, ()))


def solve_fragment(values: Mapping[str, Any]) -> str:
    """What was found, the drawings and the steps as an HTML fragment, for notebooks."""
    table = step_table(values)
    rows = [table.names, *([cell.text for cell in row] for row in table.rows)]
    body = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows)
    figures = "".join(f"<figure>{escape(plot.title)}{plot.svg}</figure>" for plot in _draw(values).values())
    return f'<p>{escape(" ".join(findings(values)))}</p><div style="max-width: 480px">{figures}</div><table>{body}</table>'


def findings(values: Mapping[str, Any]) -> list[str]:
    """What the solve says, in sentences."""
    step = _chosen(values)
    if step is None:
        return ["No step could run."]
    name = f"Step {step['number']} ({step['name']})"
    if not values["binding"]:
        return [f"{name} keeps all limits on the validation split."]
    missed = missed_text(step["misses"], values["limits"], step["drop"])
    words = {"budget spent": "The budget is spent", "nothing left": "Nothing is left to try"}[values["status"]]
    sentences = [f"{words}: no step keeps all limits. {name} is nearest; it misses {missed}."]
    ways_out = [
        f"{limit} {limit_text(values, limit, best)} instead of {limit_text(values, limit, values['limits'][limit])}"
        for limit, best in values["instead"].items()
    ]
    if ways_out:
        sentences.append(f"With all other limits kept, this binds: {', or '.join(ways_out)}.")
    else:
        sentences.append(f"These bind together: {', '.join(values['binding'])}; no step keeps all limits but one.")
    return sentences


def limit_text(values: Mapping[str, Any], name: str, value: float) -> str:
    """A value of a limit in the unit in which people read it."""
    if name == "metric_drop":
        unit = difference_unit(values["metric"]).removeprefix(", ")
        return f"{difference_text(values['metric'], value).removeprefix('+')} {unit}".strip()
    if name.endswith("_kb"):
        return bytes_text(round(1000 * value))
    return f"{ms_text(value)} ms" if name.endswith("_ms") else short_count_text(round(value))


def step_table(values: Mapping[str, Any]) -> Table:
    """One row per step."""
    metric = values["metric"]
    others = [name for name in values["limits"] if name not in ("metric_drop", "size_kb", "macs", "arena_kb")]
    columns = (
        "", "Step", "", ">Bytes", f">{metric_title(metric)}", f">Lost{difference_unit(metric)}", ">MACs", ">p50, ms",
        *(f">{name}" for name in others), "Misses", ">Seconds",
    )  # fmt: skip
    return make_table(columns, [_row(step, values, others) for step in values["steps"]], title="Steps, judged on validation")


def _row(step: Mapping[str, Any], values: Mapping[str, Any], others: Sequence[str]) -> list[str | Cell]:
    number, name, metric = str(step["number"]), step["name"], values["metric"]
    if step["reason"]:
        return [number, name, Cell("left out", "quiet"), *[""] * (5 + len(others)), step["reason"], seconds_text(step["seconds"])]
    missed = missed_text(step["misses"], values["limits"], step["drop"])
    mark: str | Cell = ""
    if step["number"] == values["chosen"]:
        mark = Cell("nearest", "bad") if missed else Cell("chosen", "good")
    return [
        number, name, mark, count_text(step["bytes"]), metric_text(metric, step["metric"]), difference_text(metric, step["drop"]),
        short_count_text(step["macs"]), ms_text(step["p50_ms"]), *(_measured(step, limit) for limit in others), missed,
        seconds_text(step["seconds"]),
    ]  # fmt: skip


def _measured(step: Mapping[str, Any], name: str) -> str:
    value = step["measured"].get(name)
    text = "" if value is None else ms_text(value) if name.endswith("_ms") else count_text(round(value))
    return f"{text} (predicted)" if name in step["predicted"] else text


def _chosen(values: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return next((step for step in values["steps"] if step["number"] == values["chosen"]), None)


def _byline(values: Mapping[str, Any], moment: str) -> list[str]:
    seconds = sum(step["seconds"] for step in values["steps"])
    return [moment, f"{len(values['steps'])} steps in {seconds_text(seconds)}", f"version {__version__}"]


def _cards(values: Mapping[str, Any]) -> list[Card]:
    words, tone = STATUS[values["status"]]
    trained = sum(step["trained"] for step in values["steps"])
    cards = [Card("Ended", words, f"{len(values['steps'])} steps, {trained} of them trained", tone)]  # type: ignore[arg-type]  # a Tone
    step = _chosen(values)
    if step is None:
        return cards
    label = "Nearest" if values["binding"] else "Chosen"
    cards.append(Card(f"{label}: size", bytes_text(step["bytes"]), step["name"]))
    detail = f"baseline {metric_text(values['metric'], values['baseline'])}"
    cards.append(Card(f"{label}: {metric_title(values['metric'])}", metric_text(values["metric"], step["metric"]), detail))
    if step["p50_ms"] is not None:
        cards.append(Card(f"{label}: p50", f"{ms_text(step['p50_ms'])} ms", "this machine, one thread"))
    return cards


def _blocks(values: Mapping[str, Any], chosen_recipe: str, plots: tuple[str, ...]) -> list[Block]:
    floor = {name: limit_text(values, name, value) for name, value in values["floor"].items()}
    limits = [
        [name, limit_text(values, name, limit), _reached(values, name), floor.get(name, "")] for name, limit in values["limits"].items()
    ]
    columns = ("Limit", ">At most", ">Reached", ">All cut that can be, untrained")
    return [
        Block("found", "What was found", tuple(findings(values)), plots=plots, tables=(make_table(columns, limits),)),
        Block("steps", "Steps", (MEANING,), tables=(step_table(values),)),
        Block("chosen", "The chosen recipe", ("This file runs as it is.",), text=chosen_recipe),
    ]


def _reached(values: Mapping[str, Any], name: str) -> Cell:
    step = _chosen(values)
    if step is None:
        return Cell("")
    value = step["values"][name]
    if value is None:
        return Cell("not measured", "bad")
    return Cell(limit_text(values, name, value), "bad" if name in values["binding"] else "good")


def _draw(values: Mapping[str, Any]) -> dict[str, Plot]:
    """The metric against bytes, and against time where it was measured."""
    objectives = {values["metric"]: values["rises"], "size": False}
    if any(step["p50_ms"] is not None for step in values["steps"]):
        objectives["latency"] = False
    tried = [_point(step, values) for step in values["steps"]]
    with plot_style():
        return search_plots({"objectives": objectives, "tried": tried, "chosen": values["chosen"], "limits": values["limits"]})


def _point(step: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A step as the drawing of a search takes a trial."""
    figures = {values["metric"]: step["metric"], "size": step["bytes"], "latency": step["p50_ms"]}
    known = {name: value for name, value in figures.items() if value is not None}
    return {
        "number": step["number"], "kind": "failed" if step["reason"] else "complete", "reason": step["reason"], "values": known,
        "misses": step["misses"], "point": {"step": step["name"]}, "on_front": False, "harvested_from": None,
    }  # fmt: skip
