"""What of an operator costs time: amounts that each have a price, and the place of an operator among others of its kind.

Kernels work in tiles: 3 channels may cost as much as 16. How large the tiles of a host are is not known, so that work is counted for
several, and the measured times decide.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

import numpy as np

from edgecompress.latency.workload import Workload

Family = tuple[str, ...]
PRODUCTS = ("CONV_2D", "FULLY_CONNECTED")  # rows x depth times depth x channels
CHANNEL_TILES = (1, 8, 16, 32, 64)
DEPTH_TILES = (1, 4, 64)


def family_of(work: Workload) -> Family:
    """Operators that are learned together: same code, as far as one can tell from outside."""
    is_pointwise = work.name == "CONV_2D" and work.kernel[1:3] == (1, 1)
    return (work.name, work.activations, work.weights, *(["1x1"] if is_pointwise else []))


def amounts(work: Workload) -> np.ndarray:
    """Amounts >= 0 that each may have a price: one call, rows, multiply-accumulates for tiles of several sizes, values moved."""
    rows, channels, area, depth = _sizes(work)
    found: list[float] = [1, rows]
    if work.name in PRODUCTS:
        found += [rows * _filled(channels, wide) * area * _filled(depth, deep) for wide in CHANNEL_TILES for deep in DEPTH_TILES]
        found += [_filled(rows, high) * _filled(channels, 16) * area * _filled(depth, deep) for high, deep in ((8, 4), (16, 64))]
        found += [rows * area, rows * area * depth, rows * channels, area * depth * channels, _filled(channels, 16), _read(work)]
        found += [rows * _filled(channels, 16)]
    elif work.kernel:
        found += [rows * _filled(channels, wide) * size for wide in CHANNEL_TILES[:4] for size in (1, area)]
        found += [rows * area, area * channels, _read(work)]
    else:
        found += [_read(work), prod(work.output), rows * _filled(channels, 16)]
    return np.array(found, np.float64)


def place(work: Workload) -> np.ndarray:
    """Coordinates, in octaves: operators that are near to each other are off in the same way."""
    rows, channels, area, depth = _sizes(work)
    sides = work.inputs[0][1:3] if work.inputs and len(work.inputs[0]) == 4 else (1, 1)
    waste: Iterable[float] = (
        _filled(number, tile) / number for number, tiles in ((channels, (16, 32, 64)), (depth, (4, 64))) for tile in tiles
    )
    strides = prod(work.strides) if work.strides else 1
    return np.log2(np.array([rows, channels, area, depth, strides, 1 + _read(work), 1 + work.weight_bytes, *sides, *waste], np.float64))


def _sizes(work: Workload) -> tuple[int, int, int, int]:
    """Places of the output, its channels, values under the kernel, channels that each of them is summed over."""
    rows, channels = prod(work.output[:-1]), work.output[-1] if work.output else 1
    if work.name in PRODUCTS:
        return rows, channels, prod(work.kernel[1:-1]), work.kernel[-1] if work.kernel else 1
    area = prod(work.kernel[1:3]) if work.weights else prod(work.kernel)
    return rows, channels, area, 1


def _read(work: Workload) -> int:
    """Values, not bytes: their type is the same throughout a family."""
    return sum(prod(shape) for shape in work.inputs)


def _filled(number: int, tile: int) -> int:
    """The multiple of the tile that holds a number."""
    return -(-number // tile) * tile
