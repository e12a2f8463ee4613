"""Which channels can go: those that every operator behind them can do without, alone or because another one is equal."""

from typing import Any

import numpy as np

from edgecompress.tflite.shrink.channel_counts import let_stay
from edgecompress.tflite.shrink.channel_cut import cut_channels
from edgecompress.tflite.shrink.channel_flow import follow_channels
from edgecompress.tflite.shrink.channels import Channels
from edgecompress.tflite.shrink.graph import graphs_of
from edgecompress.tflite.shrink.unused import remove_buffers

MAX_ROUNDS = 8  # each round may make more channels useless


def remove_dead_channels(model: Any, *, round_to: int = 1, tolerant: bool = False) -> tuple[int, tuple[str, ...]]:
    """Removes channels that are constant, or that nothing needs.

    What a constant stands for goes into the biases behind it, where that is exact.

    Args:
        model: a `ModelT`.
        round_to: numbers of channels that are cut stay multiples of this, where they were.
        tolerant: float sums may change by their rounding.

    Returns:
        Number of channels of kernels that went, and what stays only for its place, in words.
    """
    removed, notes = 0, list[str]()
    for graph in graphs_of(model):
        for _ in range(MAX_ROUNDS):
            channels = follow_channels(graph)
            labels = channels.classes()
            why = _needed(channels, labels, tolerant)
            keep = let_stay(channels, labels, _masks(channels, labels, why), round_to)
            cut = _count_cut(channels, keep)
            if not cut:
                notes += _stay_for_place(channels, labels, why)
                break
            cut_channels(channels, keep, {})
            removed += cut
    remove_buffers(model)
    return removed, tuple(notes)


def _needed(channels: Channels, labels: np.ndarray, tolerant: bool) -> dict[int, str]:
    """Class -> for whose sake it stays."""
    why: dict[int, str] = {}
    for index, words in channels.blocked.items():
        if index in channels.sizes:
            why.update({label: why.get(label, words) for label in labels[channels.places(index)].tolist()})
    for kernel in channels.kernels:
        if not kernel.is_depthwise:
            needs = ~kernel.absorbs(*channels.known(kernel.data), tolerant=tolerant)
            words = channels.graph.name(kernel.operator)
            why.update({label: why.get(label, words) for label in labels[channels.places(kernel.data)[needs]].tolist()})
    return why


def _masks(channels: Channels, labels: np.ndarray, why: dict[int, str]) -> dict[int, np.ndarray]:
    """Tensor -> which channels stay: those of needed classes, and at least one."""
    needed = np.zeros(channels.num_places, bool)
    needed[list(why)] = True
    for index in channels.sizes:
        places = labels[channels.places(index)]
        if not needed[places].any():
            needed[places[0]] = True
    return {index: needed[labels[channels.places(index)]] for index in channels.sizes}


def _count_cut(channels: Channels, keep: dict[int, np.ndarray]) -> int:
    """Outputs of kernels that go."""
    return sum(int((~keep[kernel.result]).sum()) for kernel in channels.kernels)


def _stay_for_place(channels: Channels, labels: np.ndarray, why: dict[int, str]) -> list[str]:
    """One line for each kernel with constant outputs that stay all the same."""
    notes = []
    for number, kernel in enumerate(channels.kernels):
        known, _ = channels.known(kernel.result)
        if known.any():
            causes = dict.fromkeys(why.get(label, "its shape") for label in labels[channels.places(kernel.result)[known]].tolist())
            name = channels.graph.name(kernel.operator)
            notes.append(f"{name} {number}: {known.sum()} of {len(known)} channels are constant and stay for {', '.join(causes)}")
    return notes
