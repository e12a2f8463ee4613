"""What a search found, as one HTML page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from edgecompress import __version__
from edgecompress.report.canvas import Plot, plot_style
from edgecompress.report.document import Block, Card, Cell, make_table
from edgecompress.report.html import render_page
from edgecompress.report.search_plot import is_harvested, search_plots
from edgecompress.report.words import (
    bytes_text,
    metric_text,
    metric_title,
    missed_text,
    ms_text,
    number_text,
    seconds_text,
    short_count_text,
)

MOST_SHOWN = 500  # rows of the table of all trials
ENDINGS = ("complete", "stopped", "rejected", "failed")


def render_search(values: Mapping[str, Any], chosen_recipe: str) -> str:
    """A page of its own.

    Args:
        values: `Findings.to_dict()`.
        chosen_recipe: YAML; empty where no trial ran to its end.
    """
    drawings = _draw(values)
    chosen = [_recipe_block(values, chosen_recipe)] if chosen_recipe else []
    blocks = [_front_block(values, tuple(drawings)), *chosen, _trials_block(values)]
    byline = [count_text(values), f"version {__version__}"]
    return render_page("edgecompress search", values["name"], byline, _cards(values), blocks, drawings)


def search_fragment(values: Mapping[str, Any]) -> str:
    """Drawings and the front as an HTML fragment, for notebooks."""
    figures = "".join(f"<figure>{escape(plot.title)}{plot.svg}</figure>" for plot in _draw(values).values())
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in front_rows(values))
    head = "".join(f"<th>{escape(name.removeprefix('>'))}</th>" for name in front_columns(values))
    return f'<div style="max-width: 480px">{figures}</div><table><tr>{head}</tr>{rows}</table>'


def count_text(values: Mapping[str, Any]) -> str:
    """How many trials there are; what they brought along is counted beside them."""
    num_harvested = sum(is_harvested(trial) for trial in values["tried"])
    asked = f"{len(values['tried']) - num_harvested} of {values['num_wanted']} trials"
    return f"{asked}, {num_harvested} harvested from them" if num_harvested else asked


def front_columns(values: Mapping[str, Any]) -> list[str]:
    """Titles of the table of the front."""
    return ["Trial", *(f">{objective_title(name)}" for name in values["objectives"]), "What was drawn"]


def front_rows(values: Mapping[str, Any]) -> list[list[str]]:
    """The front, best of the first objective first."""
    by_number = {trial["number"]: trial for trial in values["tried"]}
    return [_row(by_number[number], values) for number in values["front"]]


def objective_title(name: str) -> str:
    """As a column's title."""
    return {"size": "Size", "latency": "p50, ms", "macs": "MACs", "arena": "Arena"}.get(name, metric_title(name))


def objective_text(name: str, value: float | None) -> str:
    """A value in the unit in which people read it."""
    if value is None:
        return ""
    if name in ("size", "arena"):
        return bytes_text(round(value))
    return ms_text(value) if name == "latency" else short_count_text(round(value)) if name == "macs" else metric_text(name, value)


def point_text(point: Mapping[str, Any]) -> str:
    """What was drawn, in one line."""
    shown = ((name.removeprefix("stages."), value) for name, value in point.items())
    return ", ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in shown)


def _draw(values: Mapping[str, Any]) -> dict[str, Plot]:
    with plot_style():
        return search_plots(values)


def _row(trial: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    mark = " (chosen)" if trial["number"] == values["chosen"] else ""
    texts = [objective_text(name, trial["values"].get(name)) for name in values["objectives"]]
    return [f"{trial['number']}{mark}", *texts, point_text(trial["point"])]


def _cards(values: Mapping[str, Any]) -> list[Card]:
    """How much was tried, what is chosen."""
    endings = Counter(trial["kind"] for trial in values["tried"])
    detail = ", ".join(f"{endings[kind]} {kind}" for kind in ENDINGS if endings[kind])
    cards = [
        Card("Points", str(len(values["tried"])), f"{count_text(values)}; {detail}"),
        Card("Pareto front", str(len(values["front"])), "trials within all limits"),
    ]
    chosen = next((trial for trial in values["tried"] if trial["number"] == values["chosen"]), None)
    if chosen is not None:
        missed = [name for name, miss in chosen["misses"].items() if miss > 0]
        texts = ", ".join(objective_text(name, chosen["values"].get(name)) for name in values["objectives"])
        words = (
            f"misses {', '.join(missed)}: no trial keeps all limits" if missed else "within all limits" if chosen["misses"] else "no limits"
        )
        cards.append(Card("Chosen", f"trial {chosen['number']}", f"{texts}; {words}", "bad" if missed else "good"))
    return cards


def _front_block(values: Mapping[str, Any], plots: tuple[str, ...]) -> Block:
    """Drawings and table of the front."""
    limits = ", ".join(f"{name} {number_text(limit)}" for name, limit in values["limits"].items())
    sentences = (
        "Figures are of the .tflite on the validation split. Hover over a point to see its trial; dotted: a limit.",
        "Harvested points cost no training: they differ from a trial in the export, or in stages that need none.",
        f"Limits: {limits}." if limits else "The recipe sets no limits.",
    )
    return Block("front", "Pareto front", sentences, plots=plots, tables=(make_table(front_columns(values), front_rows(values)),))


def _recipe_block(values: Mapping[str, Any], text: str) -> Block:
    """The chosen recipe and what it was chosen for."""
    chosen = next((trial for trial in values["tried"] if trial["number"] == values["chosen"]), None)
    if chosen is not None and any(miss > 0 for miss in chosen["misses"].values()):
        words = "No trial keeps all limits; this one misses them least."
    else:
        trials = "the trials within all limits" if values["limits"] else "all trials"
        words = f"Of {trials} the best by {objective_title(next(iter(values['objectives'])))}, the first objective."
    return Block("chosen", "The chosen recipe", (f"{words} This file runs as it is.",), text=text)


def _trials_block(values: Mapping[str, Any]) -> Block:
    """Everything that was tried."""
    columns = (
        "Trial",
        "Ended",
        *(f">{objective_title(name)}" for name in values["objectives"]),
        "Missed",
        "What was drawn",
        ">Seconds",
        "Why",
    )
    rows: list[Sequence[str | Cell]] = []
    for trial in values["tried"][:MOST_SHOWN]:
        missed = missed_text(trial["misses"], values["limits"], trial.get("drop"))
        number, *texts, point = _row(trial, values)
        ended = f"{trial['kind']}, from trial {trial['harvested_from']}" if is_harvested(trial) else trial["kind"]
        rows.append([number, ended, *texts, missed, point, seconds_text(trial["seconds"]), trial["reason"]])
    more = len(values["tried"]) - MOST_SHOWN
    sentences = (f"{more} more are in search.json.",) if more > 0 else ()
    return Block("trials", "All trials", sentences, tables=(make_table(columns, rows, title="All trials", collapsed=True),))
