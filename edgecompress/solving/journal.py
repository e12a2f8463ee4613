"""What a solve has done, in its folder: a killed call goes on from there, and a finished one is done at once. Free of TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgecompress.errors import RecipeError
from edgecompress.search.study import differences
from edgecompress.solving.question import Question
from edgecompress.solving.steps import Solution, Step, step_of
from edgecompress.store import write_atomic

FILE = "journal.json"
VERSION = 1  # raise it when the same question would be climbed in another way


class Journal:
    """Steps by the key of their recipe, in the order in which they were done.

    Args:
        path: of the file.
        question: what is asked.

    Raises:
        RecipeError: the file is of another question.
    """

    def __init__(self, path: Path, question: Question) -> None:
        self._path, self._question = path, json.loads(json.dumps(question.to_dict()))
        values = _read(path)
        asked = values.get("question")
        if asked is not None and (asked != self._question or values.get("version") != VERSION):
            where = ", ".join(differences(asked, self._question)[:5]) or "the version of edgecompress"
            expected = "the folder must be of this solve; choose another with --out"
            raise RecipeError(f"{path.parent}: {expected}. Received: a solve that differs in {where}.")
        self._steps = {str(step["key"]): step_of(step) for step in values.get("steps", [])}
        self._ending: dict[str, Any] | None = values.get("ending")

    @property
    def num_steps(self) -> int:
        """Steps of the climb so far."""
        return sum(step.number >= 0 for step in self._steps.values())

    @property
    def ending(self) -> dict[str, Any] | None:
        """How an earlier call ended: `solution` and its `budget`; None where none did."""
        return self._ending

    def step(self, key: str) -> Step | None:
        """What is known of a recipe."""
        return self._steps.get(key)

    def add(self, step: Step) -> None:
        """Keeps a step."""
        self._steps[step.key] = step
        self._write()

    def end(self, solution: Solution, budget: Mapping[str, float | None]) -> None:
        """Keeps how the solve ended."""
        self._ending = {"solution": solution.to_dict(), "budget": dict(budget)}
        self._write()

    def _write(self) -> None:
        steps = [step.to_dict() for step in self._steps.values()]
        values = {"version": VERSION, "question": self._question, "steps": steps, "ending": self._ending}
        write_atomic(self._path, json.dumps(values, indent=1))


def _read(path: Path) -> dict[str, Any]:
    """What an earlier call wrote; nothing where the file is missing or damaged, which only means: do the work again."""
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
