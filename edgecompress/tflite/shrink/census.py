"""How many channels a file computes that never change, or that equal another."""

from dataclasses import dataclass

import numpy as np

from edgecompress.tflite.shrink.channel_flow import follow_channels
from edgecompress.tflite.shrink.graph import graphs_of
from edgecompress.tflite.unpack import unpack


@dataclass(frozen=True)
class ChannelCount:
    """Output channels of all convolutions and fully connected operators.

    Attributes:
        total: all of them.
        constant: those that are the same for every input.
        equal: those that change, and equal an earlier one of the same operator.
    """

    total: int
    constant: int
    equal: int


def count_channels(content: bytes) -> ChannelCount:
    """Counts, without changing anything.

    Raises:
        ModelError: not a .tflite file, or a damaged one.
    """
    total = constant = equal = 0
    for graph in graphs_of(unpack(content)):
        channels = follow_channels(graph)
        for kernel in channels.kernels:
            known, _ = channels.known(kernel.result)
            changing = channels.numbers[kernel.result][~known]
            total, constant = total + known.size, constant + int(known.sum())
            equal += changing.size - np.unique(changing).size
    return ChannelCount(total, constant, equal)
