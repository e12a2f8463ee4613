"""How `ladder.py` runs, converts and judges within a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from edgecompress.evaluation import evaluate_tflite
from edgecompress.evaluation.layer_harm import LayerHarm, file_harms
from edgecompress.export import Conversion, finished_file
from edgecompress.ladder import Climbed, Means, climb
from edgecompress.recipe.schema import Export
from edgecompress.recipe.stages import StageConfig
from edgecompress.report.schema import StageReport
from edgecompress.stage import State

if TYPE_CHECKING:
    from edgecompress.pipeline import Surroundings

NUM_HARM_SAMPLES = 32  # that say which layers of a file do harm


def climb_ladder(
    surroundings: Surroundings, export: Export, state: State, stages: Sequence[StageReport],
    run: Callable[[int, StageConfig, State], tuple[State, StageReport]],
) -> Climbed:  # fmt: skip
    """Looks for the cheapest way to 8 bits that loses little enough on validation, from where the stages of the recipe ended.

    Args:
        surroundings: of the run.
        export: of the recipe, with format auto.
        state: what the stages of the recipe left.
        stages: their reports, the baseline's first.
        run: (index, config, state) -> the state after a stage, and its report.

    Raises:
        EdgeCompressError: of the first rung.
    """
    recipe, data, progress = surroundings.recipe, surroundings.data, surroundings.progress
    metric = recipe.task.metrics[0]
    before, rises = stages[0].metrics["validation"][metric], recipe.task.rises(metric)

    def as_file(at: State, chosen: Export) -> tuple[Conversion, bytes]:
        samples, runtime = data.calibration.arrays()[0], recipe.target.runtime
        conversion, shrunk = finished_file(at.model, chosen, calibration=samples, progress=progress, runtime=runtime)
        return conversion, shrunk.content

    def judge(content: bytes) -> tuple[float, float]:
        with TemporaryDirectory(prefix="edgecompress-") as folder:
            path = Path(folder, "model.tflite")
            path.write_bytes(content)
            after = evaluate_tflite(path, data.validation, recipe.task, progress=progress).metrics[metric]
        return after, before - after if rises else after - before

    def worst(at: State, conversion: Conversion) -> list[LayerHarm]:
        return file_harms(at.model, conversion.content, data.validation.some(NUM_HARM_SAMPLES), conversion.tensors)

    rehearsal = surroundings.rehearsal
    means = Means(run, as_file, judge, worst, rehearsal.latencies_ms if rehearsal.times else lambda files: {}, progress.say)
    return climb(export.start, export.limit, state, len(stages), means)
