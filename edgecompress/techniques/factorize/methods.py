"""The table of methods: which layers one takes, what the layers in its place are, and where its arithmetic is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from edgecompress.techniques.factorize import cp, spatial_svd, svd, tucker2
from edgecompress.techniques.factorize.arrays import Array, Factors, Rank

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Link:
    """One layer of a chain.

    Attributes:
        ending: of its name; "": it has the name of the layer that the chain stands for.
        axes: spatial axes of a convolution that it covers: on them it has the convolution's stride and dilation.
        is_depthwise: one filter per channel.
    """

    ending: str
    axes: tuple[int, ...] = ()
    is_depthwise: bool = False

    @property
    def channel_axis(self) -> int:
        """Axis of its kernel with the channels that it gives."""
        return -2 if self.is_depthwise else -1


@dataclass(frozen=True)
class Method:
    """One way to factorize a kernel [..., in, out].

    Attributes:
        links: the layers of the chain, in order.
        layers: classes that it takes.
        takes: whether it makes sense for a kernel of this shape.
        demand: that in words.
        factorize: kernel, rank, seed and time limit in seconds to the factors; may raise `cp.NotFound`.
        reconstruct: the factors to the kernel that they compute together.
        shapes: shape of the kernel and rank to the shapes of the factors.
        full_rank: shape of the kernel to the largest rank.
        spectra: kernel to singular values, one array per number in a rank; the method may have none.
        sides: shape of the kernel to the shapes of the matrices that the spectra belong to.
        matched: shape of the kernel and rank to a rank in which no number is larger than the others can use.
    """

    links: tuple[Link, ...]
    layers: tuple[str, ...]
    takes: Callable[[Shape], bool]
    demand: str
    factorize: Callable[[Array, Rank, int, float], Factors]
    reconstruct: Callable[[Factors], Array]
    shapes: Callable[[Shape, Rank], list[Shape]]
    full_rank: Callable[[Shape], Rank]
    spectra: Callable[[Array], tuple[Array, ...]] = lambda kernel: ()
    sides: Callable[[Shape], tuple[tuple[int, int], ...]] = lambda shape: ()
    matched: Callable[[Shape, Rank], Rank] = lambda shape, rank: rank


def _matrix(shape: Shape) -> tuple[int, int]:
    """Sides of the matrix of the last axis against all others."""
    return prod(shape[:-1]), shape[-1]


def _unfolded(shape: Shape) -> tuple[tuple[int, int], tuple[int, int]]:
    """Sides of the matrices of the input channels, and of the output channels, against all else."""
    size = prod(shape)
    return (shape[2], size // shape[2]), (shape[3], size // shape[3])


def _column_and_row(shape: Shape) -> tuple[int, int]:
    """Sides of the matrix of (height, in) against (width, out)."""
    return shape[0] * shape[2], shape[1] * shape[3]


METHODS: dict[str, Method] = {
    "svd": Method(
        links=(Link("_in", axes=(0, 1)), Link("")),
        layers=("Dense", "Embedding", "Conv1D", "Conv2D"),
        takes=lambda shape: True,
        demand="",
        factorize=lambda kernel, rank, seed, limit: svd.svd(kernel, *rank),
        reconstruct=svd.reconstruct,
        shapes=lambda shape, rank: svd.shapes(shape, *rank),
        full_rank=lambda shape: (min(_matrix(shape)),),
        spectra=lambda kernel: (svd.singular_values(kernel),),
        sides=lambda shape: (_matrix(shape),),
    ),
    "spatial_svd": Method(
        links=(Link("_column", axes=(0,)), Link("", axes=(1,))),
        layers=("Conv2D",),
        takes=lambda shape: min(shape[:2]) > 1,
        demand="a kernel that is more than one position high and wide",
        factorize=lambda kernel, rank, seed, limit: spatial_svd.spatial_svd(kernel, *rank),
        reconstruct=spatial_svd.reconstruct,
        shapes=lambda shape, rank: spatial_svd.shapes(shape, *rank),
        full_rank=lambda shape: (min(_column_and_row(shape)),),
        spectra=lambda kernel: (spatial_svd.singular_values(kernel),),
        sides=lambda shape: (_column_and_row(shape),),
    ),
    "tucker2": Method(
        links=(Link("_in"), Link("_core", axes=(0, 1)), Link("")),
        layers=("Conv2D",),
        takes=lambda shape: max(shape[:2]) > 1,
        demand="a kernel of more than one position",
        factorize=lambda kernel, rank, seed, limit: tucker2.tucker2(kernel, *rank),
        reconstruct=tucker2.reconstruct,
        shapes=lambda shape, rank: tucker2.shapes(shape, *rank),
        full_rank=tucker2.full_ranks,
        spectra=tucker2.singular_values,
        sides=_unfolded,
        matched=lambda shape, rank: tucker2.matched(shape, *rank),
    ),
    "cp": Method(
        links=(Link("_in"), Link("_column", axes=(0,), is_depthwise=True), Link("_row", axes=(1,), is_depthwise=True), Link("")),
        layers=("Conv2D",),
        takes=lambda shape: min(shape[:2]) > 1,
        demand="a kernel that is more than one position high and wide",
        factorize=lambda kernel, rank, seed, limit: cp.cp(kernel, *rank, seed=seed, time_limit_s=limit),
        reconstruct=cp.reconstruct,
        shapes=lambda shape, rank: cp.shapes(shape, *rank),
        full_rank=lambda shape: (prod(shape) // max(shape),),
    ),
}
