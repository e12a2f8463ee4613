"""Versions and machine: for cache keys, the lock file and the report."""

import platform
from importlib.metadata import PackageNotFoundError, version

import yaml

from edgecompress.device.machine import describe_cpu
from edgecompress.recipe import dump_recipe
from edgecompress.recipe.schema import Recipe

PACKAGES = {
    "tensorflow": "tensorflow", "tf_keras": "tf_keras", "tfmot": "tensorflow-model-optimization",
    "litert": "ai-edge-litert", "numpy": "numpy",
}  # fmt: skip


def installed(package: str) -> str | None:
    """The installed version of a package; None if it is absent."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def of_training() -> dict[str, str | None]:
    """The versions that the bits of a training depend on."""
    return {name: installed(PACKAGES[name]) for name in ("tensorflow", "tf_keras", "tfmot")}


def environment(threads: int | None) -> dict[str, str | int | None]:
    """The `environment` section of a report."""
    cpu = describe_cpu()
    return {
        "python": platform.python_version(), **{name: installed(package) for name, package in PACKAGES.items()},
        "cpu": cpu["model"], "cores": cpu["cores"], "threads": threads,
    }  # fmt: skip


def lock(recipe: Recipe, data_fingerprint: str, threads: int) -> str:
    """Text of `recipe.lock.yaml`: the resolved recipe, which runs as it is, and as comments what else the result depends on."""
    facts = {"data_fingerprint": data_fingerprint, **environment(threads)}
    comment = "".join(f"# {line}\n" for line in yaml.safe_dump(facts, sort_keys=False).splitlines())
    return comment + dump_recipe(recipe)
