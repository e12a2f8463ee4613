"""An Optuna study in a database: opened or made, and only by the recipe that made it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from edgecompress.errors import RecipeError, StorageError
from edgecompress.recipe.schema import Recipe
from edgecompress.recipe.space_rules import objective_names, rises

if TYPE_CHECKING:
    import optuna

    from edgecompress.data import Data
    from edgecompress.latency.forecast import Forecast

RECIPE = "recipe"  # the study's attribute that says what made it
FREE = ("trials", "minutes")  # fields of `search:` that may change between calls
CONNECT_SECONDS, BUSY_SECONDS = 10, 120
DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}


@dataclass(frozen=True)
class Heartbeat:
    """How workers know of each other's death: a sign every `interval_s`; after `grace_s` without one, a trial is run again."""

    interval_s: int = 20
    grace_s: int = 90


@dataclass(frozen=True)
class Study:
    """A study and its storage."""

    study: optuna.Study
    storage: optuna.storages.RDBStorage
    heartbeat: Heartbeat


def default_storage(folder: Path) -> str:
    """A file in the search's own folder."""
    return f"sqlite:///{(folder / 'study.db').absolute()}"


def open_study(recipe: Recipe, url: str, heartbeat: Heartbeat, sources: Mapping[str, str | None] | None = None) -> Study:
    """The study of a recipe, made where there is none.

    Args:
        recipe: of the search; the study has its name.
        url: of the database, as SQLAlchemy writes them.
        heartbeat: of the workers.
        sources: of `sources_of`.

    Raises:
        StorageError: no database that can be used is there.
        RecipeError: another recipe made the study of that name.
    """
    import optuna

    quiet_optuna()
    storage = _open_storage(url, heartbeat)
    directions = [
        optuna.study.StudyDirection.MAXIMIZE if rises(name) else optuna.study.StudyDirection.MINIMIZE for name in objective_names(recipe)
    ]
    wanted = {**made_of(recipe), "sources": dict(sources or {})}
    with storage_faults(url):
        study = optuna.create_study(study_name=recipe.name, storage=storage, load_if_exists=True, directions=directions)
        made = study.user_attrs.get(RECIPE)
        is_new = made is None and not study.get_trials(deepcopy=False)
        if is_new:
            study.set_user_attr(RECIPE, wanted)
    if not is_new and made != wanted:
        where = ", ".join(differences(made or {}, wanted)[:5]) or "everything"
        expected = "the study must be of this recipe; choose another folder with --out, another storage or another name"
        raise RecipeError(f"{shown(url)}: {recipe.name}: {expected}. Received: a study of a recipe that differs in {where}.")
    return Study(study, storage, heartbeat)


@contextmanager
def storage_faults(url: str) -> Iterator[None]:
    """Turns what the database refuses while a study is used into a StorageError that names it: no right to write, a server that is gone."""
    import optuna
    import sqlalchemy

    try:
        yield
    except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError) as error:
        expected = "storage must be a database that can be read and written as long as the search runs"
        raise StorageError(f"{shown(url)}: {expected}. Received: {_first_line(error)}.") from error


def sources_of(recipe: Recipe, data: Data, forecast: Forecast | None) -> dict[str, str | None]:
    """What trials depend on besides the recipe, as hashes: where data, model file and latency table lie does not count, but what they hold.

    Raises:
        ModelError: the model file is gone.
    """
    from edgecompress.techniques.baseline import file_hash

    table = None if forecast is None else forecast.digest
    return {"data": data.fingerprint, "model": file_hash(recipe.model), "latency_table": table}


def made_of(recipe: Recipe) -> dict[str, Any]:
    """What a study depends on: the recipe without what may change between calls and machines."""
    values = recipe.model_dump(mode="json")
    for section in ("data", "model"):
        values[section].pop("path", None)
    values.pop("track")  # where results are logged changes none of them
    for name in FREE:
        values["search"].pop(name)
    return values


def differences(first: Any, second: Any, path: str = "") -> list[str]:
    """Dotted paths at which two plain values differ."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return [
            found
            for key in dict.fromkeys([*first, *second])
            for found in differences(first.get(key), second.get(key), f"{path}.{key}" if path else str(key))
        ]
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        return [found for i, pair in enumerate(zip(first, second, strict=True)) for found in differences(*pair, f"{path}.{i}")]
    return [] if first == second else [path]


def shown(url: str) -> str:
    """A URL without its password."""
    try:
        parts = urlsplit(url)
        return url.replace(f":{parts.password}@", ":***@") if parts.password else url
    except ValueError:
        return url


def quiet_optuna() -> None:
    """Its warnings of experimental features and its own log lines are not for users of ours."""
    import optuna

    optuna.logging.set_verbosity(logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed to be used with Study.optimize")


def _open_storage(url: str, heartbeat: Heartbeat) -> optuna.storages.RDBStorage:
    import optuna
    import sqlalchemy

    scheme, colon, rest = url.partition("://")
    url = f"{DRIVERS.get(scheme, scheme)}{colon}{rest}"
    connect = {"timeout": BUSY_SECONDS} if scheme.startswith("sqlite") else {}
    if scheme.startswith("postgres"):
        connect = {"connect_timeout": CONNECT_SECONDS}
    try:
        return optuna.storages.RDBStorage(
            url, engine_kwargs={"connect_args": connect, "pool_pre_ping": True},
            heartbeat_interval=heartbeat.interval_s, grace_period=heartbeat.grace_s,
        )  # fmt: skip
    except (ImportError, sqlalchemy.exc.NoSuchModuleError) as error:
        expected = "storage must be of a database whose driver is installed; for PostgreSQL: pip install 'edgecompress[postgresql]'"
        raise StorageError(f"{shown(url)}: {expected}. Received: {_first_line(error)}.") from error
    except sqlalchemy.exc.ArgumentError as error:
        expected = "storage must be a URL such as sqlite:///study.db or postgresql://user@host/database"
        raise StorageError(f"{shown(url)}: {expected}. Received: {url!r}.") from error
    except (sqlalchemy.exc.SQLAlchemyError, RuntimeError, ValueError, OSError) as error:
        raise StorageError(
            f"{shown(url)}: storage must be a database that can be reached and written. Received: {_first_line(error)}."
        ) from error


def _first_line(error: BaseException) -> str:
    """What the database says, without SQLAlchemy's own words."""
    cause = error.__cause__ or error
    cause = getattr(cause, "orig", None) or cause
    return " ".join(str(cause).splitlines()[:1] or [type(error).__name__]).rstrip(".")
