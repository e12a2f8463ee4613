"""Where bars are drawn, and that names cannot spoil them."""

import io
import sys
import types
from importlib.machinery import ModuleSpec

import pytest
from rich.console import Console

from edgecompress.progress import Progress, TerminalProgress


@pytest.fixture
def notebook(monkeypatch):
    """A console in a notebook, with stand-ins for what draws there: `shown` has all that was drawn."""
    shown = []

    class Output:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def clear_output(self, wait):
            pass

        def close(self):
            pass

    def stand_in(name, **members):
        module = types.ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)

    stand_in("IPython")
    stand_in("IPython.display", display=shown.append)
    stand_in("ipywidgets", Output=Output)
    return Console(force_jupyter=True, force_terminal=False, file=io.StringIO()), shown


def work(progress, name="training", detail="loss 0.5"):
    with progress.task(name, total=2) as bar:
        bar.describe(detail)
        bar.advance()
        bar.advance()


def test_terminal_shows_name_and_detail_without_reading_markup_in_them():
    file = io.StringIO()
    work(TerminalProgress(Console(file=file, force_terminal=True, width=100)), "model [a]", "closing [/b]")
    assert "model [a]" in file.getvalue()
    assert "closing [/b]" in file.getvalue()


def test_file_gets_no_bars_but_the_lines():
    file = io.StringIO()
    progress = TerminalProgress(Console(file=file, force_terminal=False, force_jupyter=False))
    work(progress)
    assert file.getvalue() == ""
    progress.say("01 prune [a]")
    assert file.getvalue() == "01 prune [a]\n"


def test_notebook_shows_bars(notebook):
    console, shown = notebook
    work(TerminalProgress(console))
    assert shown


def test_notebook_without_widgets_stays_silent(notebook, monkeypatch, recwarn):
    console, shown = notebook
    monkeypatch.setattr("edgecompress.progress.find_spec", lambda name: None)
    work(TerminalProgress(console))
    assert not shown
    assert not list(recwarn)


def test_silent_progress_takes_the_same_calls(capsys):
    work(Progress())
    Progress().say("nothing")
    assert capsys.readouterr() == ("", "")
