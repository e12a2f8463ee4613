"""How a command comes to be the chief or another worker. TensorFlow is loaded when it has to be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgecompress.errors import RecipeError
from edgecompress.progress import Progress
from edgecompress.quiet import without_noise
from edgecompress.recipe.schema import Recipe
from edgecompress.recipe.strategy_rules import strategies
from edgecompress.workers.cluster import WORKER_LIMIT_S, Cluster, cluster_of

if TYPE_CHECKING:
    from edgecompress.stage import Share


def cluster_for(recipe: Recipe) -> Cluster | None:
    """The workers that share trainings of a recipe; None where no training has the strategy multi_worker.

    Raises:
        RecipeError: there must be some, and TF_CONFIG does not say which.
    """
    if "multi_worker" not in strategies(recipe):
        return None
    cluster = cluster_of(os.environ)
    if cluster is None:
        expected = "TF_CONFIG, or --workers and --worker, must say who the workers are, for the strategy multi_worker"
        raise RecipeError(f"{expected}. Received: neither.")
    return cluster


def follow_chief(
    recipe: Recipe, *, allow_code: bool = False, progress: Progress | None = None, worker_limit_s: float = WORKER_LIMIT_S
) -> int:
    """What a worker does that is not the chief: takes part in the chief's trainings, and writes nothing.

    Args:
        recipe: the chief's; paths may differ.
        allow_code: as for a run.
        progress: where bars and lines go; silent by default.
        worker_limit_s: longest time to wait for the others.

    Returns:
        How many trainings were shared.

    Raises:
        EdgeCompressError: the chief or a worker was lost, other data than the chief's, a failure of the chief; see `errors`.
    """
    progress, cluster = progress or Progress(), cluster_for(recipe)
    if cluster is None or cluster.is_chief:
        raise RecipeError("TF_CONFIG must name a worker that is not the chief. Received: the chief, or a recipe without multi_worker.")
    with without_noise():
        with progress.task("loading TensorFlow"):
            from edgecompress.workers.follow import follow
        return follow(cluster, recipe, progress, allow_code=allow_code, limit_s=worker_limit_s)


@contextmanager
def led_workers(cluster: Cluster | None, recipe: Recipe, progress: Progress, limit_s: float) -> Iterator[Share | None]:
    """What trains on all workers, until the exit; None where there are none."""
    if cluster is None:
        yield None
        return
    from edgecompress.workers.chief import leading

    with leading(cluster, recipe, progress, limit_s=limit_s) as share:
        yield share
