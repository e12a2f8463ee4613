"""Numbers of channels that must stay multiples: of what a kernel does at a time, and of what the user asks for."""

import numpy as np

from edgecompress.tflite.shrink.channels import Channels
from edgecompress.tflite.shrink.kernels import DEPTHWISE_GROUP


def let_stay(channels: Channels, labels: np.ndarray, keep: dict[int, np.ndarray], round_to: int = 1) -> dict[int, np.ndarray]:
    """Lets more channels stay, until every depthwise kernel treats those that stay as before, and numbers are rounded.

    A built-in depthwise kernel rounds the outputs of a whole group and those left over in different ways, so the outputs that stay of its
    whole groups must again be whole groups.

    Args:
        channels: of a graph.
        labels: their classes.
        keep: tensor -> bool [channels], closed under classes.
        round_to: numbers of outputs of kernels stay multiples of this, where they were.

    Returns:
        The same with more channels; closed under classes.
    """
    stay = np.zeros(channels.num_places, bool)
    for index, mask in keep.items():
        stay[channels.places(index)] = mask
    rules = [(channels.places(kernel.result)[: kernel.num_grouped], DEPTHWISE_GROUP) for kernel in channels.kernels]
    rules += [(places, round_to) for kernel in channels.kernels if len(places := channels.places(kernel.result)) % round_to == 0]
    while (broken := next((places for places, multiple in rules if stay[places].sum() % multiple), None)) is not None:
        first = broken[~stay[broken]][0]  # there is one: all of them are a multiple
        stay[labels == labels[first]] = True  # what keeps this rule may keep others, or break them
    return {index: stay[channels.places(index)] for index in keep}
