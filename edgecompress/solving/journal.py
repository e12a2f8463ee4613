"""What a solve has done, in its folder: a killed call goes on from there, and a finished one is done at once. Free of TensorFlow.

Steps do not depend on the limits, so other limits on the same model find the steps that were done for the first ones.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgecompress.errors import RecipeError
from edgecompress.search.study import differences
from edgecompress.solving.question import Question
from edgecompress.solving.steps import Solution, Step, step_of
from edgecompress.store import write_atomic

FILE = "journal.json"
VERSION = 1  # raise it when the same recipe would give another step


class Journal:
    """Steps by the key of their recipe, and how the last climb ended.

    Args:
        path: of the file.
        question: what is asked.

    Raises:
        RecipeError: the file is of another model, other data or trainings.
    """

    def __init__(self, path: Path, question: Question) -> None:
        self._path, self._model, self._limits = path, _plain(question.model_part()), _plain(question.limit_part())
        values = _read(path)
        made = values.get("model")
        if made is not None and (made != self._model or values.get("version") != VERSION):
            where = ", ".join(differences(made, self._model)[:5]) or "the version of edgecompress"
            expected = "the folder must be of a solve of the same model and data; choose another with --out"
            raise RecipeError(f"{path.parent}: {expected}. Received: one that differs in {where}.")
        steps = [step_of(step) for step in values.get("steps", [])]
        # What could not run may have failed for want of a runtime or of memory: it is tried once more in each call.
        self._steps = {step.key: step for step in steps if step.runs}
        self._ending: dict[str, Any] | None = values.get("ending")
        self._seconds, self._opened = float(values.get("seconds", 0.0)), time.monotonic()

    @property
    def seconds(self) -> float:
        """That all calls have taken so far."""
        return self._seconds + time.monotonic() - self._opened

    @property
    def ending(self) -> dict[str, Any] | None:
        """How an earlier call with the same limits ended: `solution` and its `budget`; None where none did."""
        return self._ending if self._ending is not None and self._ending["limits"] == self._limits else None

    def step(self, key: str) -> Step | None:
        """What is known of a recipe."""
        return self._steps.get(key)

    def add(self, step: Step) -> None:
        """Keeps a step."""
        self._steps[step.key] = step
        self._write()

    def end(self, solution: Solution, budget: Mapping[str, float | None]) -> None:
        """Keeps how the solve ended."""
        self._ending = {"solution": solution.to_dict(), "budget": dict(budget), "limits": self._limits}
        self._write()

    def _write(self) -> None:
        steps = [step.to_dict() for step in self._steps.values()]
        values = {"version": VERSION, "model": self._model, "seconds": self.seconds, "steps": steps, "ending": self._ending}
        write_atomic(self._path, json.dumps(values, indent=1))


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As it comes back from the file."""
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain


def _read(path: Path) -> dict[str, Any]:
    """What an earlier call wrote; nothing where the file is missing or damaged, which only means: do the work again."""
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
