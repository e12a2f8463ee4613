"""Merges channels that are always equal: what one was multiplied by is added to the weights of the other."""

from typing import Any

import numpy as np

from edgecompress.tflite.shrink.channel_counts import let_stay
from edgecompress.tflite.shrink.channel_cut import cut_channels
from edgecompress.tflite.shrink.channel_flow import follow_channels
from edgecompress.tflite.shrink.channels import Channels
from edgecompress.tflite.shrink.graph import graphs_of
from edgecompress.tflite.shrink.kernels import Kernel
from edgecompress.tflite.shrink.unused import remove_buffers

MAX_ROUNDS = 8  # equal channels make more channels equal
SYMMETRIC_LIMIT = 127  # int8 weights stay in [-127, 127], as the specification of TensorFlow Lite asks


def merge_duplicate_channels(model: Any, *, tolerant: bool = False) -> int:
    """Removes channels that equal another one of the same tensor, where the sums of weights fit into their type.

    Args:
        model: a `ModelT`.
        tolerant: float sums may change by their rounding.

    Returns:
        Number of channels of kernels that went.
    """
    removed = 0
    for graph in graphs_of(model):
        for _ in range(MAX_ROUNDS):
            channels = follow_channels(graph)
            choice = _Choice(channels, tolerant)
            cut = sum(int((~choice.keep[kernel.result]).sum()) for kernel in channels.kernels)
            if not cut:
                break
            cut_channels(channels, choice.keep, choice.merges)
            removed += cut
    remove_buffers(model)
    return removed


class _Choice:
    """Which channels go.

    Attributes:
        keep: tensor -> bool [channels].
        merges: tensor -> channel that goes -> channel that takes its weights.
    """

    def __init__(self, channels: Channels, tolerant: bool) -> None:
        self._channels, self._tolerant = channels, tolerant
        self.keep = {index: np.ones(size, bool) for index, size in channels.sizes.items()}
        self.merges: dict[int, dict[int, int]] = {}
        self._readers: dict[int, list[Kernel]] = {}  # tensor -> kernels that absorb its channels
        for kernel in channels.kernels:
            if not kernel.is_depthwise:
                self._readers.setdefault(kernel.data, []).append(kernel)
        self._sums: dict[tuple[int, int], np.ndarray] = {}  # id of a kernel and a channel that stays -> its weights with those added so far
        self._labels = channels.classes()
        self._locked = {
            label for index in channels.blocked if index in channels.sizes for label in self._labels[channels.places(index)].tolist()
        }
        for label in sorted(self._twins(), reverse=True):
            if label not in self._locked:
                self._try(label)
        self._let_stay()

    def _twins(self) -> set[int]:
        """Classes with a channel, in front of a kernel, that is not the first with its value number."""
        found = set()
        for index in self._readers:
            _, firsts = np.unique(self._channels.numbers[index], return_index=True)
            later = np.setdiff1d(np.arange(self._channels.sizes[index]), firsts)
            found.update(self._labels[self._channels.places(index)[later]].tolist())
        return found

    def _try(self, label: int) -> None:
        """Lets a class go if every kernel behind it can add its weights to those of an equal channel that stays."""
        pairs, sums = [], dict(self._sums)
        for index, kernels in self._readers.items():
            for channel in np.flatnonzero(self._labels[self._channels.places(index)] == label).tolist():
                target = self._target(index, channel, label)
                if target is None:
                    return
                if not all(self._add(kernel, sums, channel, target) for kernel in kernels):
                    return
                pairs.append((index, channel, target))
        gone = {index: self._labels[self._channels.places(index)] == label for index in self.keep}
        if not pairs or any(not (mask & ~gone[index]).any() for index, mask in self.keep.items()):  # at least one channel stays
            return
        self._sums = sums
        for index, channel, target in pairs:
            self.merges.setdefault(index, {})[channel] = target
            self._locked.add(int(self._labels[self._channels.first[index] + target]))
        for index, mask in self.keep.items():
            mask[gone[index]] = False

    def _let_stay(self) -> None:
        """Takes merges back until numbers of channels are right; all of them, if the sums of the rest do not fit."""
        self.keep = let_stay(self._channels, self._labels, self.keep)
        kept = {index: {gone: stays for gone, stays in pairs.items() if not self.keep[index][gone]} for index, pairs in self.merges.items()}
        if kept == self.merges:
            return
        self.merges = kept
        for index, pairs in kept.items():
            for kernel in self._readers[index]:
                sums: dict[tuple[int, int], np.ndarray] = {}
                if not all(self._add(kernel, sums, gone, stays) for gone, stays in pairs.items()):
                    self.merges = {}
                    self.keep = {tensor: np.ones_like(mask) for tensor, mask in self.keep.items()}
                    return

    def _target(self, index: int, channel: int, label: int) -> int | None:
        """The first channel of a tensor that equals another one and stays."""
        numbers, labels = self._channels.numbers[index], self._labels[self._channels.places(index)]
        equal = np.flatnonzero((numbers == numbers[channel]) & self.keep[index] & (labels != label))
        return int(equal[0]) if equal.size else None

    def _add(self, kernel: Kernel, sums: dict[tuple[int, int], np.ndarray], channel: int, target: int) -> bool:
        """Adds the weights of a channel to those of the target, in `sums`. False where they do not fit, or the sum would be rounded."""
        if kernel.raw.dtype.kind == "f" and not self._tolerant:
            return False
        wide = np.float32 if kernel.raw.dtype.kind == "f" else np.int32
        gone = kernel.weights[:, :, kernel.channels == channel].astype(wide) - kernel.zero_point
        before = sums.get((id(kernel), target))
        stays = kernel.weights[:, :, kernel.channels == target].astype(wide) if before is None else before
        found = sums[id(kernel), target] = stays + gone
        least, most = (-SYMMETRIC_LIMIT, SYMMETRIC_LIMIT) if kernel.raw.dtype == np.int8 else (0, np.iinfo(np.uint8).max)
        return kernel.raw.dtype.kind == "f" or bool(((found >= least) & (found <= most)).all())
