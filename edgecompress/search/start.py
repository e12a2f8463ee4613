"""The points that a search begins with: the middle, both ends of what decides how much is left, then an even spread."""

from __future__ import annotations

import numpy as np
from scipy.stats import qmc

from edgecompress.recipe.space import ORDER, USE, Point, Space
from edgecompress.search.axes import Axes

LEFT = ("macs", "parameters", "size_kb", "latency_ms", "energy", "rank", "ratio", "clusters", "scale", "squeeze", "width")
GONE = ("fraction", "sparsity", "count")
# Fields by their last name: how much of a network is left, or goes. A space has cliffs, and its front has ends; both lie there.
# What says how something is trained or chosen stays in its middle meanwhile.


def start_points(space: Space, seed: int) -> list[Point]:
    """Points that say most of a space of which nothing is known. All stages stand: what is optional is left out by what comes next.

    Args:
        space: of the search.
        seed: of the even spread, a Halton sequence that is shifted by it.
    """
    axes = Axes(space)
    kept = {axis.name for axis in axes.free if axis.name.startswith(USE) or axis.name == ORDER}
    middle = {axis.name: 0.5 if axis.is_ordered else 0.0 for axis in axes.free if axis.name not in kept}
    least, most = dict(middle), dict(middle)
    for axis in axes.free:
        name = axis.name.rpartition(".")[2]
        if axis.is_ordered and name in LEFT + GONE:
            least[axis.name], most[axis.name] = (0.0, 1.0) if name in LEFT else (1.0, 0.0)
    spread_over = [axis for axis in axes.free if axis.name not in kept]
    shift = np.random.default_rng(np.random.SeedSequence([seed, len(spread_over)])).random(len(spread_over) or 1)
    rows = qmc.Halton(len(spread_over) or 1, scramble=False).random(num_start(space) - 2)[1:]  # its first point is a corner
    places = [dict(zip((axis.name for axis in spread_over), row, strict=False)) for row in ((rows + shift) % 1.0).tolist()]
    points = [axes.point(place) for place in (middle, least, most, *places)]
    return [point for index, point in enumerate(points) if point not in points[:index]]


def num_start(space: Space) -> int:
    """How many points there are before anything is concluded from them; it grows with the axes that are not harvested."""
    drawn = [axis for axis in Axes(space).free if not axis.name.startswith((USE, "export."))]
    return 3 + max(1, (len(drawn) - 1) // 2)
