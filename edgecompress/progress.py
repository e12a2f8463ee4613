"""Progress bars with time left, on a terminal or in a notebook; silence elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


class Bar:
    """One running task. This one draws nothing; `total` is in the unit that `advance` counts."""

    def advance(self, amount: float = 1) -> None:
        """Moves the bar by `amount`."""

    def total(self, total: float) -> None:
        """Sets how much there is to do, once it is known."""

    def describe(self, detail: str) -> None:
        """Replaces the words beside the bar, such as the current loss."""


class Progress:
    """Silent progress, and the interface of the visible kind."""

    @contextmanager
    def task(self, name: str, total: float | None = None) -> Iterator[Bar]:
        """A bar from entry to exit. `total=None`: of unknown length."""
        yield Bar()

    def say(self, line: str) -> None:
        """One line that stays on the screen."""


class _RichBar(Bar):
    def __init__(self, bars: Any, identifier: Any) -> None:
        self._bars, self._identifier = bars, identifier

    def advance(self, amount: float = 1) -> None:
        self._bars.advance(self._identifier, amount)

    def total(self, total: float) -> None:
        self._bars.update(self._identifier, total=total)

    def describe(self, detail: str) -> None:
        self._bars.update(self._identifier, detail=detail)


class TerminalProgress(Progress):
    """Bars drawn by rich on `console`; `say` prints there too."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def task(self, name: str, total: float | None = None) -> Iterator[Bar]:
        from rich import progress as rich_progress

        columns = (
            rich_progress.TextColumn("{task.description}", markup=False), rich_progress.BarColumn(bar_width=24),
            rich_progress.TaskProgressColumn(), rich_progress.TimeRemainingColumn(compact=True),
            rich_progress.TextColumn("{task.fields[detail]}", style="dim", markup=False),
        )  # fmt: skip
        with rich_progress.Progress(*columns, console=self._console, transient=True, disable=not self._draws()) as bars:
            yield _RichBar(bars, bars.add_task(name, total=total, detail=""))

    def say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _draws(self) -> bool:
        """On a terminal; in a notebook only with ipywidgets, without which rich gives a warning in place of a bar."""
        return self._console.is_terminal or (self._console.is_jupyter and find_spec("ipywidgets") is not None)


def visible_progress() -> Progress:
    """Bars on the terminal (standard error) or in the notebook."""
    from rich.console import Console

    return TerminalProgress(Console(stderr=True))
