"""Which channels go: the least of all layers together, or of each, within what rounding and the floor allow."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil, inf
from typing import Literal

import numpy as np
import numpy.typing as npt

from edgecompress.techniques.structured.criteria import Scores

Choice = Mapping[str, Sequence[int]]  # name of a group to the channels of it that go


@dataclass(frozen=True, eq=False)
class Contender:
    """A group of which something may go.

    Attributes:
        name: of the group.
        scores: float64 [channels].
        frozen: bool [channels], True where a channel must stay.
        multiple: what is left is a multiple of it, or everything.
        least: channels that are left in any case.
    """

    name: str
    scores: Scores
    frozen: npt.NDArray[np.bool_]
    multiple: int
    least: int

    @cached_property
    def order(self) -> npt.NDArray[np.int64]:
        """The channels that may go, the worst first."""
        order = np.argsort(self.scores, kind="stable")
        return order[~self.frozen[order]]

    def num_left(self, num_gone: int) -> int:
        """Channels that are left when so many would go by their scores: more where rounding or the floor wants it."""
        size = self.scores.size
        left = max(size - num_gone, self.least, 1)
        return min(size, ceil(left / self.multiple) * self.multiple)


@dataclass(frozen=True, eq=False)
class Ranking:
    """All channels that may go, in the order in which they would.

    Attributes:
        contenders: at least one.
        scope: whether the least of all go first, or the same fraction of each.
        held: contenders that lose no more than so many channels, by their place.
    """

    contenders: Sequence[Contender]
    scope: Literal["global", "layer"]
    held: Mapping[int, int] = field(default_factory=dict)

    @cached_property
    def _owners(self) -> npt.NDArray[np.int64]:
        """For each channel in order, its contender. In scope "layer" those at the same fraction of their layers stand together."""
        keys, owners = [], []
        for index, contender in enumerate(self.contenders):
            count = contender.order.size
            keys.append(contender.scores[contender.order] if self.scope == "global" else (np.arange(count) + 0.5) / max(1, count))
            owners.append(np.full(count, index))
        return np.concatenate(owners)[np.argsort(np.concatenate(keys), kind="stable")]

    def choice(self, length: int) -> Choice:
        """What goes when the ranking is cut off after so many channels."""
        counts = np.bincount(self._owners[:length], minlength=len(self.contenders))
        chosen = {}
        for index, contender in enumerate(self.contenders):
            num_gone = contender.scores.size - contender.num_left(min(int(counts[index]), self.held.get(index, contender.scores.size)))
            if num_gone:
                chosen[contender.name] = np.sort(contender.order[:num_gone]).tolist()
        return chosen

    def closest(self, measure: Callable[[Choice], float], wanted: float) -> Choice | None:
        """The choice that leaves as much as it can, and no more than `wanted`; None where even all that may go leave more.

        The ranking is cut off as early as possible. Where the last step, of a whole multiple of channels, goes far beyond, its
        contender is held before that step and the ranking followed further, as long as that leaves more.

        Args:
            measure: what a choice leaves; of a longer one never more.
        """
        ranking, best, most = self, None, -inf
        while (length := ranking._shortest(measure, wanted)) is not None:
            choice = ranking.choice(length)
            if measure(choice) <= most:
                break
            best, most = choice, measure(choice)
            if length == 0:
                break
            last = int(self._owners[length - 1])
            count = int(np.count_nonzero(self._owners[: length - 1] == last))
            ranking = replace(ranking, held={**ranking.held, last: count})
        return best

    def _shortest(self, measure: Callable[[Choice], float], wanted: float) -> int | None:
        """Where to cut the ranking off."""
        length = bisect_left(range(self._owners.size + 1), True, key=lambda length: measure(self.choice(length)) <= wanted)
        return None if length > self._owners.size else length

    @property
    def longest(self) -> Choice:
        """All that may go."""
        return self.choice(self._owners.size)
