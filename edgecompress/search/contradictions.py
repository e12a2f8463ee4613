"""Goals that nothing in the space can meet together, found before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, product

from edgecompress.data import Data
from edgecompress.errors import EdgeCompressError, RecipeError
from edgecompress.recipe.schema import Goal, Recipe
from edgecompress.recipe.space import ORDER, USE, Point, Space, label, make_space
from edgecompress.search.prediction import CERTAIN, MARGIN, Prediction, certain_limits, is_foreseen, predict
from edgecompress.search.trial import trial_recipe
from edgecompress.techniques.baseline import make_model

NEUTRAL = (  # fields that change no shape
    "epochs",
    "learning_rate",
    "sparsity",
    "clusters",
    "schedule",
    "optimizer",
    "criterion",
    "distill",
    "initialization",
)
MOST_CORNERS = 64  # of the space; a larger one is left to the trials


def check_goals(recipe: Recipe, data: Data, *, allow_code: bool) -> None:
    """Plans the corners of the space on the untrained baseline.

    Raises:
        RecipeError: limits on size or MACs below what any corner has.
        EdgeCompressError: a model that a run would refuse.
    """
    model = make_model(recipe.model, recipe.task, data, seed=recipe.seed, allow_code=allow_code)
    goal, space = recipe.goal, make_space(recipe)
    if (goal.size_kb is None and goal.macs is None) or any(stage.technique not in CERTAIN for stage in recipe.stages):
        return
    if any(path.split(".")[0] in ("model", "data") for path in space.fields):
        return
    corners = list(islice(corners_of(space), MOST_CORNERS + 1))
    if len(corners) > MOST_CORNERS:
        return
    predictions = []
    for corner in corners:
        try:
            found = trial_recipe(space.recipe_at(corner))
            goal = certain_limits(goal, found)
            if not is_foreseen(found) or (goal.size_kb is None and goal.macs is None):
                return
            predictions.append(predict(found, model, data, allow_code=allow_code))
        except EdgeCompressError:  # fields that do not go together
            continue
    if predictions:
        _judge(goal, predictions)


def corners_of(space: Space) -> Iterator[Point]:
    """Every choice of every list, both ends of every range that changes what is left of the network."""
    axes: dict[str, list[object]] = {f"{USE}{name}": [True, False] for name in space.optional}
    if space.orders:
        axes[ORDER] = [space.orders[0]]  # how much is left hardly depends on the order
    for path, dimension in space.fields.items():
        if path.split(".")[-1] in NEUTRAL:
            continue
        axes[path] = [label(choice) for choice in dimension.choices] if dimension.choices is not None else [dimension.low, dimension.high]
    for values in product(*axes.values()):
        yield dict(zip(axes, values, strict=True))  # type: ignore[arg-type]  # labels are scalars


def _judge(goal: Goal, predictions: list[Prediction]) -> None:
    """Raises RecipeError for a limit below the least prediction, or for two that no corner keeps together."""
    limits = {"size_kb": goal.size_kb, "macs": goal.macs}
    values: dict[str, list[float]] = {
        "size_kb": [prediction.weight_bytes / 1000 for prediction in predictions],
        "macs": [prediction.macs or 0 for prediction in predictions],
    }
    broken = {name: [value > (1 + MARGIN) * limit for value in values[name]] for name, limit in limits.items() if limit is not None}
    for name, misses in broken.items():
        if all(misses):
            least = min(values[name])
            words = f"at least {least:,.6g}, the least that search.space leaves before any file format's own bytes"
            raise RecipeError(f"goal.{name}: the limit contradicts the space; it must be {words}. Received: {limits[name]:g}.")
    if len(broken) > 1 and all(any(misses) for misses in zip(*broken.values(), strict=True)):
        received = ", ".join(f"{name} {limits[name]:g}" for name in broken)
        raise RecipeError(
            f"goal: {' and '.join(broken)} contradict each other: no corner of search.space keeps both. Received: {received}."
        )
