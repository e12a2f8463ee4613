"""An Optuna study in a database: opened or made, and only by the recipe that made it."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from edgecompress.errors import RecipeError, StorageError
from edgecompress.recipe.schema import Recipe
from edgecompress.recipe.space_rules import objective_names
from edgecompress.search.folder import STUDY
from edgecompress.store import content_key

if TYPE_CHECKING:
    import optuna

    from edgecompress.data import Data
    from edgecompress.latency.forecast import Forecast

RECIPE, HEARTBEAT = "recipe", "heartbeat"  # the study's attributes: what made it; how its workers show that they live
FREE = ("trials", "minutes")  # fields of `search:` that may change between calls
CONNECT_SECONDS, BUSY_SECONDS, SETTLING_SECONDS = 10, 120, 2
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
    return f"sqlite:///{(folder / STUDY).absolute()}"


def open_study(recipe: Recipe, url: str, heartbeat: Heartbeat | None, sources: Mapping[str, Any] | None = None) -> Study:
    """The study of a recipe, made where there is none.

    Args:
        recipe: of the search; the study has its name.
        url: of the database, as SQLAlchemy writes them.
        heartbeat: of the workers; None: the study's own, of a new one the usual.
        sources: of `sources_of`.

    Raises:
        StorageError: no database that can be used is there.
        RecipeError: another recipe made the study of that name, or its workers have another heartbeat.
    """
    import optuna

    quiet_optuna()
    storage = _open_storage(url, heartbeat or Heartbeat())
    directions = [
        optuna.study.StudyDirection.MAXIMIZE if recipe.task.rises(name) else optuna.study.StudyDirection.MINIMIZE
        for name in objective_names(recipe)
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
    with storage_faults(url):
        agreed = _agreed(study, heartbeat, shown(url))
    storage.heartbeat_interval, storage.grace_period = agreed.interval_s, agreed.grace_s
    return Study(study, storage, agreed)


def _agreed(study: optuna.Study, asked: Heartbeat | None, url: str) -> Heartbeat:
    """The heartbeat of whoever made the study: with a shorter one of its own, a worker would take others' pauses for their death."""
    made = study.user_attrs.get(HEARTBEAT)
    if made is None:
        made = asdict(asked or Heartbeat())
        study.set_user_attr(HEARTBEAT, made)
    found = Heartbeat(**made)
    if asked is not None and asked != found:
        expected = f"--heartbeat must be that of the study, {found.interval_s} s, or be left out"
        raise RecipeError(f"{url}: {study.study_name}: {expected}. Received: {asked.interval_s} s.")
    return found


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


def sources_of(recipe: Recipe, data: Data, forecast: Forecast | None) -> dict[str, Any]:
    """What trials depend on besides the recipe, as hashes: what data, model files and latency table hold counts, not where they lie.

    Raises:
        ModelError: a model file is gone.
    """
    from edgecompress.stage_keys import file_hashes

    table = None if forecast is None else forecast.digest
    models = {"model": file_hashes(recipe.model), "stages": file_hashes(recipe.stages)}
    return {"data": data.fingerprint, "class_names": content_key(data.class_names), **models, "latency_table": table}


def made_of(recipe: Recipe) -> dict[str, Any]:
    """What a study depends on: the recipe without what may change between calls and machines."""
    values: dict[str, Any] = _without_places(recipe.model_dump(mode="json"))
    values["data"].pop("labels")
    values["target"].pop("latency_table")
    values.pop("track")  # where results are logged changes none of them
    for name in FREE:
        values["search"].pop(name)
    return values


def _without_places(value: Any) -> Any:
    """Plain values without the paths of data, models and code, at any depth; of code the function's name stays."""
    if isinstance(value, list):
        return [_without_places(part) for part in value]
    if not isinstance(value, dict):
        return value
    kept = {name: _without_places(part) for name, part in value.items()}
    if "source" in value and "path" in value:
        kept["path"] = _function(value["path"]) if value["source"] == "python" else None
    if value.get("source") == "application" and value["weights"] not in (None, "imagenet"):
        kept["weights"] = "a file"
    return kept | {name: _function(value[name]) for name in ("own_loss", "function") if value.get(name) is not None}


def _function(place: str) -> str:
    """The name in `file.py:function`."""
    return place.rpartition(":")[2]


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
    make = partial(
        optuna.storages.RDBStorage, url, engine_kwargs={"connect_args": connect, "pool_pre_ping": True},
        heartbeat_interval=heartbeat.interval_s, grace_period=heartbeat.grace_s,
    )  # fmt: skip
    try:
        try:
            return make()
        except (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.OperationalError, sqlalchemy.exc.ProgrammingError) as error:
            if "UNIQUE" not in str(error).upper() and "ALREADY EXISTS" not in str(error).upper():
                raise
            time.sleep(SETTLING_SECONDS)  # another worker makes the tables of a new database at this moment
            return make()
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
