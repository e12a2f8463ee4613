"""What a channel is worth: pure functions from the numbers of a group to one score per channel. The least go first.

`filters` are the weights that make the channels: float [channels, weights of one]. `gradients` and `weights` are those of the
weights that read a channel, because a cut is exact where these become zero: then the loss changes as they say.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Scores = npt.NDArray[np.float64]


def l1(filters: Floats) -> Scores:
    """Mean magnitude of each filter. Source: Li et al., Pruning Filters (2017), section 3.1."""
    return np.abs(filters).mean(1, dtype=np.float64)


def l2(filters: Floats) -> Scores:
    """Root mean square of each filter. Source: He et al., Soft Filter Pruning (2018), section 3.2."""
    return np.sqrt(np.square(filters, dtype=np.float64).mean(1))


def geometric_median(filters: Floats) -> Scores:
    """Sum of the distances to all other filters: the one nearest to their middle can be replaced by them.

    Source: He et al., Filter Pruning via Geometric Median (2019), equation 8.
    """
    squares = np.square(filters, dtype=np.float64).sum(1)
    distances = squares[:, None] + squares[None, :] - 2 * (filters.astype(np.float64) @ filters.T.astype(np.float64))
    np.fill_diagonal(distances, 0.0)
    return np.sqrt(np.maximum(distances, 0.0)).sum(1)


def batch_norm_scale(scales: Floats) -> Scores:
    """Magnitude of gamma [channels]. Source: Liu et al., Network Slimming (2017), section 3."""
    return np.abs(scales).astype(np.float64)


def lamp(energies: Floats) -> Scores:
    """Share of each channel among those that would be left if all smaller ones were gone: comparable across layers.

    Args:
        energies: sum of squares of each channel's weights, [channels].

    Source: Lee et al., Layer-Adaptive Sparsity for Magnitude-based Pruning (2021), equation 1, on channels.
    """
    order = np.argsort(energies, kind="stable")
    left = np.cumsum(energies[order][::-1], dtype=np.float64)[::-1]
    scores = np.empty(energies.size)
    scores[order] = np.divide(energies[order], left, out=np.zeros(energies.size), where=left > 0)
    return scores


def taylor(changes: Floats) -> Scores:
    """First-order change of the loss when a channel is no longer read.

    Args:
        changes: sum over the channel's readers of gradient * weight, [batches, channels].

    Returns:
        Mean over the batches of the magnitude.

    Source: Molchanov et al., Pruning Convolutional Neural Networks (2017), equation 6; as gradient times weight: Molchanov et
    al., Importance Estimation (2019), equation 8.
    """
    return np.abs(changes).mean(0, dtype=np.float64)


def fisher(curvatures: Floats) -> Scores:
    """Second-order change of the loss, with the diagonal of the empirical Fisher matrix for the Hessian.

    Args:
        curvatures: sum over the channel's readers of (gradient * weight)^2, [batches, channels].

    Source: Theis et al., Faster Gaze Prediction (2018), equation 7; LeCun et al., Optimal Brain Damage (1990), equation 5.
    """
    return 0.5 * curvatures.mean(0, dtype=np.float64)


def activation(magnitudes: Floats) -> Scores:
    """Mean magnitude of what the readers see of a channel, [channels]. Source: Molchanov et al. (2017), section 2.2."""
    return magnitudes.astype(np.float64)


def apoz(zeros: Floats) -> Scores:
    """One minus the average percentage of zeros (APoZ) that the readers see, [channels].

    Source: Hu et al., Network Trimming (2016), equation 1.
    """
    return 1.0 - zeros.astype(np.float64)


def normalized(scores: Scores) -> Scores:
    """Scores of one group over their Euclidean norm, so that groups are comparable: deep layers have small gradients. Zeros stay zeros.

    Source: Molchanov et al., Pruning Convolutional Neural Networks (2017), equation 8.
    """
    norm = np.sqrt(np.square(scores).sum())
    return scores / norm if norm > 0 else scores


def relative(scores: Scores) -> Scores:
    """Scores over their mean, so that layers of other scales and sizes count alike; all zeros stay zeros."""
    mean = scores.mean()
    return scores / mean if mean > 0 else scores
