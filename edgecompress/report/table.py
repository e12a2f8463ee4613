"""The result of a run on a terminal and in a notebook."""

from __future__ import annotations

from html import escape
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from edgecompress.report.calibration import calibration_block
from edgecompress.report.course import stage_notes, stages_table
from edgecompress.report.debug import MOST_ROWS, debug_block
from edgecompress.report.document import Cell, Table, without
from edgecompress.report.latency import speedup
from edgecompress.report.schema import Report, SensitivityReport
from edgecompress.report.sensitivity import sensitivity_block
from edgecompress.report.summary import goals_table, recipe_text, side_by_side
from edgecompress.report.words import failure_text, verdict_sentence

NOT_ON_TERMINAL = ("MACs", "Time", "State")  # of the stages: a terminal is narrow, and the page has them
STYLES = {"plain": "", "good": "green", "bad": "bold red", "quiet": "dim"}
LEAST_NAME_WIDTH = 10  # characters


def sensitivity_table(values: dict[str, Any]) -> RenderableType:
    """Curves for the terminal.

    Args:
        values: `Sensitivity.to_dict()`.
    """
    found = SensitivityReport.model_validate(values)
    block = sensitivity_block("sensitivity", "", found)
    return Group(*(words(paragraph) for paragraph in block.paragraphs), *(terminal_table(table) for table in block.tables))


def calibration_table(values: dict[str, Any]) -> RenderableType:
    """What is wrong with calibration samples, and the curve, for the terminal.

    Args:
        values: `CalibrationCheck.to_dict()`.
    """
    block = calibration_block(values)
    return Group(*(terminal_table(table) for table in block.tables), *(words(paragraph) for paragraph in block.paragraphs))


def debug_table(values: dict[str, Any]) -> RenderableType:
    """Layers by harm for the terminal.

    Args:
        values: `Debugged.to_dict()`.
    """
    block = debug_block(values, most=MOST_ROWS)
    return Group(*(terminal_table(table) for table in block.tables), *(words(paragraph) for paragraph in block.paragraphs))


def summary_table(report: Report) -> RenderableType:
    """Baseline, plain converter and final side by side, then stages, verdict and goals."""
    device = recipe_text(report, "target", "device")
    parts: list[RenderableType] = [
        words(f"{report.name}, meant for {device}" if device else report.name, "bold"),
        terminal_table(side_by_side(report), bold_last=True),
        terminal_table(without(stages_table(report), NOT_ON_TERMINAL)),
    ]
    parts += [words(note, "dim") for note in stage_notes(report)]
    if report.verdict is not None:
        parts.append(words(verdict_sentence(report.verdict)))
    parts += [words(f"Keep broken: {keep.layer}, {keep.what}", STYLES["bad"]) for keep in report.stages[-1].keeps if not keep.held]
    found = speedup(report)
    if found is not None and found.distrust_reasons:
        parts.append(words(f"Latency is not to be trusted: {'; '.join(found.distrust_reasons)}", "yellow"))
    parts += [words(failure_text(entry), STYLES["bad"]) for entry in report.benchmark if entry.error]
    if report.goals:
        parts.append(terminal_table(goals_table(report)))
    parts += [words(f"Warning: {warning}", "yellow") for warning in report.warnings]
    return Group(*parts)


def terminal_table(table: Table, *, bold_last: bool = False) -> RenderableType:
    """`table` for a terminal; names are shown as they are, never read as markup. Numbers are not broken, their titles are."""
    drawn = RichTable(box=box.SIMPLE_HEAD, show_header=table.headed, pad_edge=False, padding=(0, 1, 0, 0))
    for name, numeric in zip(table.names, table.numeric, strict=True):
        title = Text(name.replace(" ", "\n") if numeric else name)
        least = None if numeric else LEAST_NAME_WIDTH  # without it, rich gives all room to the numbers of a narrow terminal
        drawn.add_column(title, justify="right" if numeric else "left", no_wrap=numeric, min_width=least, overflow="fold")
    for number, row in enumerate(table.rows, start=1):
        drawn.add_row(*map(_styled, row), style="bold" if bold_last and number == len(table.rows) else None)
    return drawn


def _styled(cell: Cell) -> Text:
    return words(cell.text, STYLES[cell.tone])


def words(text: str, style: str = "") -> Text:
    """`text` without markup and without control characters, which would command the terminal."""
    return Text("".join(character if character.isprintable() else " " for character in text), style=style)


def notebook_table(report: Report) -> str:
    """The three models side by side as a small HTML table, with the verdict below."""
    table = side_by_side(report)
    head = "".join(f"<th>{escape(name)}</th>" for name in table.names)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell.text)}</td>' for cell in row)}</tr>" for row in table.rows)
    verdict = f"<p>{escape(verdict_sentence(report.verdict))}</p>" if report.verdict is not None else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{verdict}"
