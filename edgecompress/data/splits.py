"""Which sample goes where: pure functions on labels and groups, decided by a random generator that the caller seeds."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np

MAX_PASSES = 20  # over all groups; a few are enough unless rounding errors make one group go back and forth


def stratified_split(
    strata: np.ndarray, fraction: float, generator: np.random.Generator, *, num_left: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Takes a fraction of each class.

    From class c with n_c samples, floor or ceil of `fraction * n_c` are taken, so that all of them add up to
    `round(fraction * n)` (largest remainder), but at least 1 and at most n_c - num_left where n_c > num_left.

    Args:
        strata: int [n], the class of each sample.
        fraction: in (0, 1).
        num_left: of each class, samples that must stay: one for each split that is still to be made of the rest.

    Returns: (rest, taken): int64 positions, ascending; each position is in one of them.
    """
    classes, inverse, counts = np.unique(strata, return_inverse=True, return_counts=True)
    shares = counts * fraction
    numbers = np.floor(shares).astype(np.int64)
    missing = round(len(strata) * fraction) - int(numbers.sum())
    numbers[np.argsort(numbers - shares, kind="stable")[:missing]] += 1
    numbers = np.maximum(np.minimum(np.maximum(numbers, 1), counts - num_left), 0)
    order = generator.permutation(len(strata))
    is_taken = np.zeros(len(strata), dtype=bool)
    for index in range(len(classes)):
        members = order[inverse[order] == index]
        is_taken[members[: numbers[index]]] = True
    return np.flatnonzero(~is_taken), np.flatnonzero(is_taken)


def grouped_split(
    strata: np.ndarray, groups: np.ndarray, fraction: float, generator: np.random.Generator, *, num_left: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Takes whole groups, so that about a fraction of each class is taken.

    Groups are looked at in random order. A group changes sides if that lowers the sum of squares of
    `fraction - taken_c / n_c` over the classes c and leaves `num_left` groups; this is repeated until none does. Where none is
    taken so, the one that raises the sum least is.

    Args:
        strata: int [n], the class of each sample.
        groups: [n], more than `num_left` different values.
        fraction: in (0, 1).
        num_left: groups that must stay: one for each split that is still to be made of the rest.

    Returns: (rest, taken): int64 positions, ascending; each position is in one of them, each group in one of them.
    """
    _, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    _, classes, counts = np.unique(strata, return_inverse=True, return_counts=True)
    members = np.split(classes[np.argsort(inverse, kind="stable")], np.cumsum(sizes)[:-1])  # the classes of each group
    present, added = zip(*(np.unique(group, return_counts=True) for group in members), strict=True)
    order = generator.permutation(len(sizes))
    missing = np.full(len(counts), fraction)  # of each class
    chosen = np.zeros(len(sizes), dtype=bool)

    def share(group: int) -> np.ndarray:
        """What the group adds to the taken part of its classes when it changes sides."""
        return (-1 if chosen[group] else 1) * added[group] / counts[present[group]]

    def gain(group: int) -> float:
        """By how much missing^2, summed over the classes, falls when the group changes sides."""
        change = share(group)
        return float(np.sum(change * (2 * missing[present[group]] - change)))

    num_chosen = 0
    for _ in range(MAX_PASSES):
        before = chosen.copy()
        for group in order:
            if (chosen[group] or num_chosen < len(sizes) - num_left) and gain(group) > 0:
                missing[present[group]] -= share(group)
                num_chosen += -1 if chosen[group] else 1
                chosen[group] ^= True
        if np.array_equal(before, chosen):
            break
    if not chosen.any():
        chosen[max(order, key=gain)] = True
    is_taken = chosen[inverse]
    return np.flatnonzero(~is_taken), np.flatnonzero(is_taken)


def balanced_selection(
    strata: np.ndarray, number: int, generator: np.random.Generator, identity: Callable[[int], Hashable] = lambda position: position
) -> np.ndarray:
    """Chooses samples at random, in turn from each class, so that classes with samples left differ by at most one.

    Args:
        strata: int [n], the class of each sample.
        number: how many; fewer are chosen when there are no more.
        identity: of the sample at a position; of samples with the same identity at most one is chosen.

    Returns: int64 positions, ascending, no two equal.
    """
    order = generator.permutation(len(strata))
    queues = [iter(order[strata[order] == stratum]) for stratum in generator.permutation(np.unique(strata))]
    seen: set[Hashable] = set()
    chosen: list[int] = []
    while queues and len(chosen) < number:
        for queue in list(queues):
            position = next((int(candidate) for candidate in queue if _is_new(identity(int(candidate)), seen)), None)
            if position is None:
                queues.remove(queue)
            elif len(chosen) < number:
                chosen.append(position)
    return np.sort(np.asarray(chosen, dtype=np.int64))


def _is_new(item: Hashable, seen: set[Hashable]) -> bool:
    """Whether `item` was not seen before; it is from now on."""
    is_new = item not in seen
    seen.add(item)
    return is_new
