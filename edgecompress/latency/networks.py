"""Small networks of random widths and depths, in the styles of the ones that are deployed.

The time of a network is not the sum of its operators timed alone: invoking costs time once, weights may not fit in the caches together,
each group of operators that a delegate takes costs time. These networks show how much.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from edgecompress.latency.writing import SmallNetwork

SIDES = (16, 20, 28, 32, 40, 48)


def _plain(network: SmallNetwork, random: Random) -> int:
    """3x3 convolutions with pools between, then two fully connected layers."""
    width, x = _width(random, 4, 40), network.input(1, *(random.choice(SIDES[:4]),) * 2, random.choice((1, 3)))
    for _ in range(random.choice((2, 3))):
        for _ in range(random.choice((1, 2))):
            x = network.convolve(x, width, (3, 3))
        x = network.pool("MAX_POOL_2D", x, (2, 2))
        width = min(96, 2 * width)
    return _classify(network, network.connect(_flat(network, x), _width(random, 16, 256)), random)


def _separable(network: SmallNetwork, random: Random) -> int:
    """A convolution, then depthwise and pointwise ones by turns."""
    width, x = _width(random, 6, 64), network.input(1, random.choice(SIDES), random.choice(SIDES), random.choice((1, 3)))
    x = network.convolve(x, width, random.choice(((3, 3), (10, 4))), 2)
    for _ in range(random.randint(3, 10)):
        stride = 2 if min(network.shape(x)[1:3]) >= 6 and random.random() < 0.3 else 1
        width = min(256, width * random.choice((1, 2)) if stride == 2 else width)
        x = network.convolve(network.filter_depthwise(x, (3, 3), stride), width, (1, 1))
    return _classify(network, _averaged(network, x, random), random)


def _residual(network: SmallNetwork, random: Random) -> int:
    """Blocks of two 3x3 convolutions beside a shortcut."""
    width, x = _width(random, 6, 28), network.input(1, *(random.choice(SIDES[:4]),) * 2, 3)
    x = network.convolve(x, width, (3, 3))
    for stride in random.choice(((1, 2, 2), (1, 2), (2, 1, 2, 1))):
        width *= stride
        branch = network.convolve(network.convolve(x, width, (3, 3), stride), width, (3, 3))
        x = network.combine("ADD", x if stride == 1 else network.convolve(x, width, (1, 1), 2), branch)
    return _classify(network, _averaged(network, x, random), random)


def _connected(network: SmallNetwork, random: Random) -> int:
    """Fully connected layers."""
    x = network.input(1, _width(random, 16, 1024))
    for _ in range(random.randint(2, 9)):
        x = network.connect(x, _width(random, 8, 512))
    return x


def _chain(network: SmallNetwork, random: Random) -> int:
    """Many operators that are next to nothing, of which only their number counts."""
    x = network.input(1, 4, 4, 8)
    for number in range(random.choice((1, 2, 4, 8, 16, 24))):
        x = network.filter_depthwise(x, (3, 3)) if number % 2 else network.convolve(x, 8, (1, 1))
    return x


def _averaged(network: SmallNetwork, x: int, random: Random) -> int:
    """MEAN, or the pool that older files have in its place."""
    if random.random() < 0.5:
        return network.average(x)
    return _flat(network, network.pool("AVERAGE_POOL_2D", x, network.shape(x)[1:3]))


def _flat(network: SmallNetwork, x: int) -> int:
    _, height, width, channels = network.shape(x)
    return network.reshape(x, 1, height * width * channels)


def _classify(network: SmallNetwork, x: int, random: Random) -> int:
    logits = network.connect(x, random.choice((2, 10, 12, 35)))
    return network.apply("SOFTMAX", logits) if random.random() < 0.5 else logits


def _width(random: Random, low: int, high: int) -> int:
    """As likely in each octave; a multiple of 8 or not."""
    width = round(low * (high / low) ** random.random())
    return width if random.random() < 0.5 else max(8, round(width / 8) * 8)


# Name, what adds it to an empty file, and how many different ones.
NETWORKS: tuple[tuple[str, Callable[[SmallNetwork, Random], int], int], ...] = (
    ("plain", _plain, 8), ("separable", _separable, 10), ("residual", _residual, 8), ("connected", _connected, 8), ("chain", _chain, 8),
)  # fmt: skip
