"""What is asked: a model with its data as a recipe without stages, and the limits. Free of TensorFlow."""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecompress.destination import LOCAL
from edgecompress.errors import RecipeError
from edgecompress.latency.forecast import forecast_of
from edgecompress.recipe import check_recipe, dump_recipe, load_recipe
from edgecompress.recipe.builtin import PREFIX
from edgecompress.recipe.goal_words import check_goal
from edgecompress.recipe.schema import Benchmark, Goal, Recipe
from edgecompress.recipe.starter import starter_recipe
from edgecompress.recipe.suggestions import received
from edgecompress.search.goals import latency_goals, local_goals

RECIPES = (".yaml", ".yml")
RUNS = 200  # timed invokes: enough for p95
HARD = ("size_kb", "p50_ms", "p95_ms", "arena_kb", "macs", "peak_rss_kb")  # limits on the file; the metric is the other side
FILE_EPOCHS, FILE_RATE = 3, 5e-4  # of the first recovery of a model whose own training nobody knows


@dataclass(frozen=True)
class Question:
    """What a solve starts from.

    Attributes:
        recipe: data, model, task, target, benchmark and goal; no stages. Its export holds what the file must be apart from its format.
        epochs: of the first recovery training; later ones are as long or twice.
        left_out: what of the user's recipe plays no part, in words; "" for nothing.
    """

    recipe: Recipe
    epochs: int
    left_out: str = ""

    def model_part(self) -> dict[str, Any]:
        """What the steps depend on; another has another folder."""
        return {"recipe": self.recipe.model_dump(mode="json", exclude={"goal", "benchmark", "target"}), "epochs": self.epochs}

    def limit_part(self) -> dict[str, Any]:
        """What else decides the answer."""
        forecast = forecast_of(self.recipe.target)
        digest = None if forecast is None else forecast.digest
        limits = self.recipe.model_dump(mode="json", include={"goal", "benchmark", "target"})
        return {"recipe": limits, "latency_table": digest, "machine": machine_of(self.recipe.goal)}

    @property
    def learning_rate(self) -> float:
        """Of the recovery trainings at their first step."""
        train = self.recipe.model.train
        return FILE_RATE if train is None else train.learning_rate


def ask(
    source: str, goals: Mapping[str, Any], *, data: Path | None = None, overrides: Mapping[str, Any] | None = None,
    epochs: int | None = None, latency_table: Path | None = None, allow_env: Collection[str] = (),
) -> Question:  # fmt: skip
    """The question of a recipe, or of a model file with its data.

    Args:
        source: a recipe (.yaml, .yml, builtin:NAME), or a Keras model: .keras, .h5, SavedModel folder.
        goals: limits by name, as `parse_goals` gives them; they go before those of the recipe.
        data: for a model file: what `edgecompress init` takes.
        overrides: as `--set` takes them.
        epochs: of the first recovery; absent: a quarter of the model's own training.
        latency_table: of a host that a limit on a time names.
        allow_env: as for `load_recipe`.

    Raises:
        RecipeError: no limit on the metric or none on the file, a recipe that is wrong, data missing or beside a recipe.
        ModelError, DataError: paths where nothing fits.
    """
    is_recipe = source.startswith(PREFIX) or Path(source).suffix.lower() in RECIPES
    if is_recipe and data is not None:
        raise RecipeError(f"--data: data must be absent beside a recipe, which names its own.{received(str(data))}")
    if is_recipe:
        given = load_recipe(source, overrides, allow_env=allow_env)
    else:
        given = _recipe_of_model(Path(source), data, overrides or {})
    recipe = _with_goals(given, goals)
    trained = given.model.train
    usual = FILE_EPOCHS if trained is None else max(2, -(-trained.epochs // 4))
    if latency_table is not None:
        recipe = recipe.model_copy(update={"target": recipe.target.model_copy(update={"latency_table": str(latency_table)})})
    _check_table(recipe, latency_table)
    return Question(recipe, usual if epochs is None else epochs, _left_out(given))


def _check_table(recipe: Recipe, given: Path | None) -> None:
    """Raises RecipeError for a table that does not know what the limits speak of, and for one that was given for nothing."""
    forecast = forecast_of(recipe.target)
    if forecast is None:
        return
    times = latency_goals(recipe.goal)
    limits = {name: limit for name, limit in times.items() if limit.host == forecast.table.host}
    if given is not None and not limits:
        words = f"a limit on a time must name the host of the latency table, such as p50_ms=5@{forecast.table.host}"
        raise RecipeError(f"{given}: {words}. Received: {', '.join(limit.host for limit in times.values()) or 'no limit on a time'}.")
    for name, limit in limits.items():
        forecast.check_threads(limit.threads, f"goal.{name}.threads")


def _recipe_of_model(model: Path, data: Path | None, overrides: Mapping[str, Any]) -> Recipe:
    """What `init` would write for it, without stages."""
    file = Path(f"{model.stem}.yaml")
    if data is None:
        starter_recipe(model, None, file)  # what is no model is said first
        raise RecipeError(f"{model}: a model must come with its data: name them with --data FOLDER or --data FILE.npz. Received: none.")
    text = starter_recipe(model, data, file)
    first: dict[str, Any] = {"name": _name(model), "stages": [], "goal": {}, "export": {}}
    return load_recipe(f"{model} with {data}", {**first, **overrides}, text=text)


def _name(model: Path) -> str:
    """The file's name, as far as a run folder can have it."""
    kept = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_-") else "_" for letter in model.stem)
    return kept.strip("_-")[:80] or "model"


def _with_goals(given: Recipe, goals: Mapping[str, Any]) -> Recipe:
    """The recipe with all limits, what measures them, and nothing that a solve decides itself."""
    own = {name: limit for name, limit in given.goal.model_dump().items() if limit is not None}
    goal = check_goal({**own, **goals})
    if goal.metric_drop is None:
        words = "goal must say what may be lost of the metric, such as --goal metric_drop=0.01"
        raise RecipeError(f"{given.name}: {words}. Received: {', '.join({**own, **goals}) or 'no goal'}.")
    if all(getattr(goal, name) is None for name in HARD):
        words = f"goal must limit something of the file beside metric_drop: one of {', '.join(HARD)}"
        raise RecipeError(f"{given.name}: {words}. Received: metric_drop alone, which the model as it is meets.")
    limits = latency_goals(goal)
    benchmark = given.benchmark
    if limits or goal.peak_rss_kb is not None:
        benchmark = benchmark or Benchmark()
        hosts = dict.fromkeys([*benchmark.hosts, *(limit.host for limit in limits.values())])
        threads = dict.fromkeys([*benchmark.threads, *(limit.threads for limit in limits.values())])
        benchmark = Benchmark.model_validate(
            {**benchmark.model_dump(), "hosts": list(hosts), "threads": list(threads), "runs": max(RUNS, benchmark.runs)}
        )
    export = given.export.start.model_copy(update={"format": "int8", "layers": {}, "only": [], "ranges": "min_max"})
    recipe = given.model_copy(update={"goal": goal, "benchmark": benchmark, "export": export, "stages": [], "search": None})
    check_recipe(recipe)
    return recipe


def _left_out(given: Recipe) -> str:
    names = [stage.technique for stage in given.stages]
    return f"the recipe's own stages ({', '.join(names)}) play no part: a solve chooses stages and format itself" if names else ""


def hosts_of(recipe: Recipe) -> list[str]:
    """Other machines that a limit on a time speaks of."""
    return [host for host in dict.fromkeys(limit.host for limit in latency_goals(recipe.goal).values()) if host != LOCAL]


def machine_of(goal: Goal) -> str:
    """Name of this machine, where a limit is on what is measured on it; "" elsewhere. Another one would measure something else."""
    return platform.node() if local_goals(goal) or goal.peak_rss_kb is not None else ""


def start_text(question: Question) -> str:
    """What is asked, as a recipe that runs."""
    return f"# What `edgecompress solve` starts from: no stages, and the limits under `goal`.\n{dump_recipe(question.recipe)}"
