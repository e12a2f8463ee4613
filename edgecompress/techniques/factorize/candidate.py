"""A layer that a method can work on: what it costs before and at any rank, and its factors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from edgecompress.backend import keras
from edgecompress.techniques.factorize.activation_svd import activation_svd, output_singular_values
from edgecompress.techniques.factorize.arrays import Array, Factors, Rank
from edgecompress.techniques.factorize.methods import Method
from edgecompress.techniques.factorize.paths import Point, break_even, path, path_without_spectra
from edgecompress.techniques.factorize.vbmf import evbmf_rank


@dataclass(frozen=True, eq=False)
class Candidate:
    """A layer that a method can work on.

    Attributes:
        layer: built, of the model.
        method: how.
        kernel: [..., in, out]; of a grouped convolution `in` are the channels of one group.
        groups: of a convolution; 1 for other layers.
        input_shape: of one sample, at the first call.
        positions: output values per channel of the layer, for one sample, over all its calls.
        link_positions: the same of each link of the chain.
        output_moments: one [out, out] per group, where outputs count and not weights: see `activation_svd`.
    """

    layer: keras.layers.Layer
    method: Method
    kernel: Array
    groups: int
    input_shape: tuple[int, ...]
    positions: int
    link_positions: tuple[int, ...]
    output_moments: tuple[Array, ...] | None = None

    @property
    def name(self) -> str:
        return str(self.layer.name)

    @property
    def type(self) -> str:
        return type(self.layer).__name__

    @cached_property
    def kernels(self) -> list[Array]:
        """One kernel per group."""
        return np.split(self.kernel, self.groups, axis=-1)

    @property
    def group_shape(self) -> tuple[int, ...]:
        return tuple(self.kernels[0].shape)

    @property
    def full_rank(self) -> Rank:
        return self.method.full_rank(self.group_shape)

    @property
    def parameters_before(self) -> int:
        """Numbers in the kernel."""
        return int(self.kernel.size)

    @property
    def macs_before(self) -> int:
        return self.positions * self.parameters_before

    def parameters(self, rank: Rank) -> int:
        """Numbers in the factors."""
        return self.groups * sum(prod(shape) for shape in self.method.shapes(self.group_shape, rank))

    def macs(self, rank: Rank) -> int:
        shapes = self.method.shapes(self.group_shape, rank)
        return self.groups * sum(positions * prod(shape) for positions, shape in zip(self.link_positions, shapes, strict=True))

    def factor_shapes(self, rank: Rank) -> list[tuple[int, ...]]:
        """Shapes of the chain's kernels, groups side by side."""
        return [
            tuple(self.groups * length if axis == link.channel_axis else length for axis, length in enumerate(shape, -len(shape)))
            for link, shape in zip(self.method.links, self.method.shapes(self.group_shape, rank), strict=True)
        ]

    def saves(self, rank: Rank) -> bool:
        """Whether parameters and MACs fall. A lookup has no MACs to save: there parameters alone count."""
        return self.parameters(rank) < self.parameters_before and (self.macs(rank) < self.macs_before or not self.macs_before)

    @cached_property
    def break_even(self) -> Rank:
        """The smallest rank to choose from that saves no parameters."""
        return break_even(self.points, self.parameters, self.parameters_before)

    @cached_property
    def points(self) -> list[Point]:
        """The ranks to choose from; the spectra of groups are added up, since all groups get the same rank."""
        by_group = [self._spectra(kernel, group) for group, kernel in enumerate(self.kernels)]
        if not by_group[0]:
            return path_without_spectra(*self.full_rank)
        spectra = [np.sqrt(sum(values**2 for values in modes)) for modes in zip(*by_group, strict=True)]
        return [Point(self.method.matched(self.group_shape, point.rank), point.lost) for point in path(spectra)]

    def vbmf_rank(self) -> Rank:
        """The rank that is signal, in the group that has most of it; with a 0 in it where all is noise."""
        sides = self.method.sides(self.group_shape)
        ranks = [
            tuple(evbmf_rank(values, side) for values, side in zip(self.method.spectra(kernel), sides, strict=True))
            for kernel in self.kernels
        ]
        return self.method.matched(self.group_shape, tuple(max(numbers) for numbers in zip(*ranks, strict=True)))

    def factorize(self, rank: Rank, *, seed: int, time_limit_s: float) -> Factors:
        """Kernels of the chain, groups side by side.

        Raises:
            NotFound: of `cp`.
        """
        if self.output_moments is not None:
            by_group = [activation_svd(kernel, moment, *rank) for kernel, moment in zip(self.kernels, self.output_moments, strict=True)]
        else:
            by_group = [self.method.factorize(kernel, rank, seed, time_limit_s) for kernel in self.kernels]
        return tuple(
            np.concatenate(factors, axis=link.channel_axis)
            for link, factors in zip(self.method.links, zip(*by_group, strict=True), strict=True)
        )

    def reconstruct(self, factors: Factors) -> Array:
        """The kernel that the chain computes together."""
        by_group = zip(
            *(np.split(factor, self.groups, axis=link.channel_axis) for link, factor in zip(self.method.links, factors, strict=True)),
            strict=True,
        )
        return np.concatenate([self.method.reconstruct(group) for group in by_group], axis=-1)

    def _spectra(self, kernel: Array, group: int) -> tuple[Array, ...]:
        """Singular values of one group, of the weights or of the outputs."""
        if self.output_moments is None:
            return self.method.spectra(kernel)
        return (output_singular_values(kernel, self.output_moments[group]),)
