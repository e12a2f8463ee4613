"""A report as Markdown, for pull requests, issues and terminals."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from edgecompress.report.document import Block, Card, Table
from edgecompress.report.schema import Report
from edgecompress.report.sections import blocks
from edgecompress.report.summary import byline, cards


def render_markdown(report: Report) -> str:
    """The whole report in GitHub's dialect. Names that a stranger chose are escaped."""
    return render_document(report.name, [*byline(report, "edgecompress"), report.status], cards(report), blocks(report))


def render_document(name: str, byline: Sequence[str], headlines: Sequence[Card], sections: Sequence[Block]) -> str:
    """Any document; see `html.render_page`."""
    return "\n".join(_lines(name, byline, headlines, sections)) + "\n"


def _lines(name: str, byline: Sequence[str], headlines: Sequence[Card], sections: Sequence[Block]) -> Iterator[str]:
    yield f"# {escape_markdown(name)}"
    yield ""
    yield escape_markdown(", ".join(byline))
    yield ""
    for card in headlines:
        yield f"- **{escape_markdown(card.label)}: {escape_markdown(card.value)}** ({escape_markdown(card.detail)})"
    for block in sections:
        yield from _block_lines(block)


def _block_lines(block: Block) -> Iterator[str]:
    yield ""
    yield f"## {escape_markdown(block.title)}"
    for paragraph in block.paragraphs:
        yield ""
        yield escape_markdown(paragraph)
    for table in block.tables:
        if table.title and table.title != block.title:
            yield ""
            yield f"### {escape_markdown(table.title)}"
        yield ""
        yield from _table_lines(table)
    if block.text:
        longest = max((len(run) for run in re.findall("`+", block.text)), default=0)
        fence = "`" * max(3, longest + 1)  # longer than any in the text, so that the text cannot end the block
        yield ""
        yield f"{fence}yaml"
        yield block.text.rstrip("\n")
        yield fence


def _table_lines(table: Table) -> Iterator[str]:
    yield _row([escape_markdown(name) for name in table.names] if table.headed else [""] * len(table.names))
    yield _row(["---:" if numeric else "---" for numeric in table.numeric])
    for row in table.rows:
        yield _row([escape_markdown(cell.text) for cell in row])


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escape_markdown(text: str) -> str:
    """`text` as words only: no HTML, no links, no emphasis, no table borders, one line."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*\[\]|~])", r"\\\1", text)
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)  # inside a word `_` is harmless
