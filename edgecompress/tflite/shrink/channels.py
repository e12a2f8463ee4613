"""What is known of every channel of a graph: which are constant, which are equal, and which can only go together.

A channel is an index of a tensor's last axis. Each channel has a value number: equal numbers, equal values at every place, whatever the
input. `channel_flow` fills this in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgecompress.tflite.shrink.graph import Graph, integers
from edgecompress.tflite.shrink.kernels import Kernel

MAX_CHANNELS = 1 << 16  # of a tensor that is followed; damaged files claim billions
MAX_PLACES = 2**22  # channels of all tensors together: a small file may claim any number, and each costs memory
MAX_FOLLOWED = 2**22  # couples of places and outputs of kernels together: operators may share constants, and a reshape has many couples
MAX_CONSTANTS = 2**18  # values of channels that are told apart; a handful is usual

# Stored values in, None where one is not constant; stored value out, None where it is not constant or kernels may differ.
Compute = Callable[[Sequence[float | None]], float | None]


@dataclass(frozen=True)
class Follower:
    """A constant input that must lose what a tensor loses.

    Attributes:
        operator, position: whose input it is, and which.
        tensor: whose channels it follows.
        start: the channel that its first one follows.
    """

    operator: Any
    position: int
    tensor: int
    start: int = 0


class Channels:
    """The channels of one graph.

    Attributes:
        graph: whose channels they are.
        first: tensor -> place of its first channel, when the channels of all tensors are counted through.
        sizes: tensor -> number of channels.
        numbers: tensor -> value numbers [channels].
        couples: pairs of arrays of places; what stands at the same position goes together.
        kernels: the operators that can drop and absorb channels.
        followers: constants that are cut with a tensor.
        shapes: operators that ask for the shape of their result, in a constant or their options.
        blocked: tensor -> for whose sake its channels stay, in words.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.first: dict[int, int] = {}
        self.sizes: dict[int, int] = {}
        self.numbers: dict[int, np.ndarray] = {}
        self.couples: list[tuple[np.ndarray, np.ndarray]] = []
        self.kernels: list[Kernel] = []
        self.followers: list[Follower] = []
        self.shapes: list[Any] = []
        self.blocked: dict[int, str] = {}
        self._constants: dict[int, float] = {}
        self._numbers_of: dict[float, int] = {}
        self._num_numbers = 0
        self._num_followed = 0
        self.num_places = 0
        for index, tensor in enumerate(graph.tensors):
            size = (integers(tensor.shape) or [0])[-1]
            is_open = integers(tensor.shapeSignature)[-1:] == [-1]
            if (
                0 < size <= min(MAX_CHANNELS, MAX_PLACES - self.num_places)
                and not is_open
                and not tensor.isVariable
                and tensor.sparsity is None
                and not graph.has_data(index)
            ):
                self.first[index], self.sizes[index] = self.num_places, size
                self.numbers[index] = self.new_numbers(size)
                self.num_places += size

    def places(self, tensor: int) -> np.ndarray:
        """Where a tensor's channels are counted."""
        return self.first[tensor] + np.arange(self.sizes[tensor])

    def has_room(self, num_couples: int) -> bool:
        """Whether an operator with so many couples, or outputs of a kernel, may still be followed. It counts as followed, if so."""
        fits = self._num_followed + num_couples <= MAX_FOLLOWED
        self._num_followed += num_couples if fits else 0
        return fits

    def new_numbers(self, size: int) -> np.ndarray:
        """Of values of which nothing is known."""
        self._num_numbers += size
        return np.arange(self._num_numbers - size, self._num_numbers)

    def constant(self, value: float) -> int:
        """The value number of a stored constant; that of something unknown, if there are too many of them."""
        value = float(value)
        if value not in self._numbers_of:
            number = int(self.new_numbers(1)[0])
            if len(self._numbers_of) == MAX_CONSTANTS:
                return number
            self._numbers_of[value] = number
        number = self._numbers_of[value]
        self._constants[number] = value
        return number

    def value(self, number: int) -> float | None:
        """The stored constant with this number; None for what is not constant."""
        return self._constants.get(int(number))

    def known(self, tensor: int) -> tuple[np.ndarray, np.ndarray]:
        """Which channels are constant (bool), and their stored values (0 for the others)."""
        return self.constants(self.numbers[tensor])

    def constants(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which value numbers are those of constants (bool), and their stored values (0 for the others)."""
        values = [self.value(number) for number in numbers]
        return np.array([value is not None for value in values], bool), np.array([value or 0.0 for value in values])

    def number_rows(self, digests: np.ndarray) -> np.ndarray:
        """Fresh value numbers [rows], equal where digests are: no object for each, of which a damaged file has millions."""
        distinct, places = np.unique(digests, return_inverse=True)
        return self.new_numbers(len(distinct))[places]

    def couple(self, one: int, ones: np.ndarray, other: int, others: np.ndarray) -> None:
        """Channels `ones` of one tensor and `others` of another go together, each with the one at the same position."""
        self.couples.append((self.first[one] + ones, self.first[other] + others))

    def couple_all(self, one: int, other: int) -> None:
        """Each channel of one tensor goes with the same one of another."""
        self.couples.append((self.places(one), self.places(other)))

    def combine(self, operator: Any, result: int, parts: Sequence[np.ndarray], compute: Compute | None = None) -> None:
        """Numbers a result, each channel of which depends on the same channel of every part.

        Args:
            operator: the operator.
            result: the tensor it writes.
            parts: value numbers [channels] of its inputs.
            compute: what it does to constants; None: that is not followed.
        """
        columns, places = np.unique(np.stack(parts, axis=1), axis=0, return_inverse=True)  # no key for each: a damaged file has millions
        numbers = self.new_numbers(len(columns))
        if compute is not None:
            constants = np.fromiter(self._constants, np.int64, len(self._constants))
            for place in np.flatnonzero(np.isin(columns, constants).any(axis=1)):  # of unknown numbers, nothing can be known
                value = compute([self.value(number) for number in columns[place]])
                if value is not None:
                    numbers[place] = self.constant(value)
        self.numbers[result] = numbers[places.reshape(-1)]

    def classes(self) -> np.ndarray:
        """Which places go together: int [num_places], the least place of each class."""
        labels = np.arange(self.num_places)
        while True:
            before = labels.copy()
            for ones, others in (*self.couples, *reversed(self.couples)):  # to and fro: a chain is done in one round
                least = np.minimum(labels[ones], labels[others])
                np.minimum.at(labels, ones, least)
                np.minimum.at(labels, others, least)
            if (labels == before).all():
                return labels
