"""Which small files a table is learned from: single operators over the shapes that small networks have, and small networks.

Drawn from fixed seeds, so that a call that goes on knows what is left. Any first part of the list is a table of its own, only coarser:
it holds the same share of every kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from random import Random
from typing import Literal

from edgecompress.latency.networks import NETWORKS
from edgecompress.latency.table import Format
from edgecompress.latency.writing import SmallNetwork

MOST_MACS = 40_000_000
MOST_WEIGHTS = 3_500_000
MOST_VALUES = 810_000  # of an activation
SIDES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 48, 56, 64, 96, 112, 160, 224)
KERNELS = ((3, 3), (3, 3), (3, 3), (3, 3), (5, 5), (7, 7), (10, 4), (3, 1), (1, 3), (5, 1))
DEPTHWISE_KERNELS = ((3, 3), (3, 3), (3, 3), (3, 3), (5, 5), (7, 7), (3, 1), (5, 1), (10, 1), (15, 1))
PUBLISHED = tuple(sorted(2**power * part for power in range(3, 10) for part in (2, 3)))  # widths of layers: 16, 24, 32, 48, 64, 96, ...
ELEMENTWISE = ("RELU", "RELU6", "LOGISTIC", "TANH", "HARD_SWISH")

Draw = Callable[[SmallNetwork, Random], int]  # adds to a network what it draws; gives the tensor at the end
Kind = Literal["operator", "network"]


@dataclass(frozen=True)
class Specimen:
    """A file to be timed; the same `key` always stands for the same file."""

    key: str
    kind: Kind
    format: Format
    draw: Draw

    def make(self) -> bytes:
        """The file."""
        network = SmallNetwork(self.format)
        return network.finish(self.draw(network, Random(self.key)))


def specimens(formats: Sequence[Format]) -> list[Specimen]:
    """All files for these types of numbers, in the order in which they are to be timed."""
    placed = [
        ((number + 0.5) / count, Specimen(f"{format} {name} {number}", kind, format, draw))
        for format in formats
        for kind, name, draw, count in _kinds(format)
        for number in range(count)
    ]
    return [specimen for _, specimen in sorted(placed, key=lambda pair: pair[0])]


def _kinds(format: Format) -> Iterator[tuple[Kind, str, Draw, int]]:
    """Name, what draws one, and how many."""
    yield "operator", "CONV_2D", _convolution, 120
    yield "operator", "CONV_2D pointwise", _pointwise, 100
    yield "operator", "DEPTHWISE_CONV_2D", _depthwise, 80
    yield "operator", "FULLY_CONNECTED", _connected, 90
    if format != "dynamic":  # its operators without weights are those of float32
        for name, draw, count in _light_kinds():
            yield "operator", name, draw, count
    if format == "int8":
        yield "operator", "QUANTIZE", lambda network, random: network.translate(_map(network, random, "float32"), "int8"), 10
        yield "operator", "DEQUANTIZE", lambda network, random: network.translate(_map(network, random), "float32"), 10
    for name, draw, count in NETWORKS:
        yield "network", name, draw, count


def _light_kinds() -> Iterator[tuple[str, Draw, int]]:
    """Operators without weights."""
    for name in ELEMENTWISE:
        yield name, _applied(name), 8
    for name in ("MAX_POOL_2D", "AVERAGE_POOL_2D"):
        yield name, _pooled(name), 18
    for name in ("ADD", "MUL"):
        yield name, _paired(name), 12
    yield "MEAN", lambda network, random: network.average(_map(network, random)), 14
    yield "SOFTMAX", lambda network, random: network.apply("SOFTMAX", network.input(1, _between(random, 2, 1000))), 6
    yield "RESHAPE", _flat, 6
    yield "CONCATENATION", _joined, 8
    yield "PAD", lambda network, random: network.pad(_map(network, random)), 8


def _convolution(network: SmallNetwork, random: Random) -> int:
    while True:
        sides, kernel, stride = _sides(random), random.choice(KERNELS), random.choice((1, 1, 1, 2))
        depth, channels = random.choice((1, 3)) if random.random() < 0.2 else _channels(random), _channels(random)
        outputs = prod(-(-side // stride) for side in sides) * channels
        fits_kernel = kernel[0] <= sides[0] and kernel[1] <= sides[1]
        if fits_kernel and _fits(outputs * prod(kernel) * depth, prod(kernel) * depth * channels, prod(sides) * depth, outputs):
            return network.convolve(network.input(1, *sides, depth), channels, kernel, stride)


def _pointwise(network: SmallNetwork, random: Random) -> int:
    while True:
        sides, stride, depth, channels = _sides(random), random.choice((1, 1, 1, 1, 1, 2)), _channels(random), _channels(random)
        outputs = prod(-(-side // stride) for side in sides) * channels
        if _fits(outputs * depth, depth * channels, prod(sides) * depth, outputs):
            return network.convolve(network.input(1, *sides, depth), channels, (1, 1), stride)


def _depthwise(network: SmallNetwork, random: Random) -> int:
    while True:
        sides, kernel, stride, channels = _sides(random), random.choice(DEPTHWISE_KERNELS), random.choice((1, 1, 2)), _channels(random)
        if kernel[1] == 1:
            sides = sides[0], 1  # convolutions over time
        if _fits(prod(sides) * channels * prod(kernel), 0, prod(sides) * channels, 0):
            return network.filter_depthwise(network.input(1, *sides, channels), kernel, stride)


def _connected(network: SmallNetwork, random: Random) -> int:
    while True:
        depth, units = _between(random, 8, 12_000), _between(random, 2, 1024)
        if _fits(0, depth * units, 0, 0):
            return network.connect(network.input(1, depth if random.random() < 0.5 else _width(random, depth)), _width(random, units))


def _applied(name: str) -> Draw:
    return lambda network, random: network.apply(name, _map(network, random))


def _paired(name: str) -> Draw:
    def draw(network: SmallNetwork, random: Random) -> int:
        first = _map(network, random)
        return network.combine(name, first, network.input(*network.shape(first)))

    return draw


def _pooled(name: str) -> Draw:
    """Of a few values, or of the whole map, as before a classifier."""

    def draw(network: SmallNetwork, random: Random) -> int:
        index = _map(network, random, least=3)
        sides = network.shape(index)[1:3]
        return network.pool(name, index, sides if random.random() < 0.4 else (random.choice((2, 2, 3)),) * 2)

    return draw


def _flat(network: SmallNetwork, random: Random) -> int:
    index = _map(network, random)
    return network.reshape(index, 1, prod(network.shape(index)))


def _joined(network: SmallNetwork, random: Random) -> int:
    first = _map(network, random)
    *outer, channels = network.shape(first)
    return network.join(first, network.input(*outer, min(channels, _channels(random))))


def _map(network: SmallNetwork, random: Random, type: Literal["float32"] | None = None, *, least: int = 1) -> int:
    """An input [1, height, width, channels]."""
    while True:
        sides, channels = _sides(random), _channels(random)
        if min(sides) >= least and _fits(0, 0, prod(sides) * channels, 0):
            return network.input(1, *sides, channels, type=type)


def _fits(macs: int, weights: int, *values: int) -> bool:
    """Whether an operator is of the size that small networks have."""
    return macs <= MOST_MACS and weights <= MOST_WEIGHTS and max(values) <= MOST_VALUES


def _sides(random: Random) -> tuple[int, int]:
    """Square maps mostly; spectrograms are not square."""
    side = random.choice(SIDES)
    return (side, side) if random.random() < 0.8 else (side, random.choice(SIDES))


def _channels(random: Random) -> int:
    return _width(random, _between(random, 2, 512))


def _width(random: Random, number: int) -> int:
    """As it is, as pruning may leave it; the multiple of 8 nearby; or the width nearby that published networks have."""
    kind = random.random()
    if kind < 0.3:
        return number
    return max(8, round(number / 8) * 8) if kind < 0.6 else min(PUBLISHED, key=lambda width: abs(width - number))


def _between(random: Random, low: int, high: int) -> int:
    """A whole number, each octave as likely."""
    return round(low * (high / low) ** random.random())
