"""Statistics of two models on the same samples: pure functions on arrays, deterministic for a seed."""

from __future__ import annotations

import math

import numpy as np

NORMAL_QUANTILE = 1.959963984540054  # 97.5 % of the standard normal distribution: two-sided 95 %
NUM_RESAMPLES = 2000
CHUNK_VALUES = 4_000_000  # resampled values held at a time: 32 MB


def mcnemar_p_value(num_lost: int, num_won: int) -> float:
    """Exact two-sided p-value of McNemar's test: are losses and wins equally likely?

    min(1, 2 P[X <= min(lost, won)]) with X binomial(lost + won, 1/2).

    Args:
        num_lost: samples that only the first model has right.
        num_won: samples that only the second model has right.
    Source: McNemar 1947, "Note on the sampling error of the difference between correlated proportions or percentages",
        in its exact conditional form.
    """
    num_discordant, fewer = num_lost + num_won, min(num_lost, num_won)
    if not num_discordant:
        return 1.0
    steps = np.arange(1, fewer + 1)
    log_choices = np.concatenate([[0.0], np.cumsum(np.log((num_discordant - steps + 1) / steps))])  # log C(num_discordant, k)
    return min(1.0, 2 * float(np.exp(log_choices - num_discordant * math.log(2)).sum()))


def tango_interval(num_lost: int, num_won: int, num_samples: int) -> tuple[float, float]:
    """95 % score interval of the difference of two paired fractions, (lost - won) / samples.

    All differences d whose score statistic is within the normal quantile z:
    |lost - won - n d| <= z sqrt(n (2 q + d (1 - d))), q the maximum-likelihood fraction of wins under d.
    It holds its level in small samples, and is not of length 0 when nothing differs, as a bootstrap would be.

    Args:
        num_lost: samples that only the first model has right.
        num_won: samples that only the second model has right.
        num_samples: all samples, n >= 1.
    Source: Tango 1998, "Equivalence test and confidence interval for the difference in proportions for the
        paired-sample design", Statistics in Medicine 17.
    """
    upper = _tango_upper_end(num_lost, num_won, num_samples)
    return -_tango_upper_end(num_won, num_lost, num_samples), upper


def _tango_upper_end(num_lost: int, num_won: int, num_samples: int) -> float:
    """The largest difference that the score test does not reject, by bisection: the statistic falls as it grows."""
    low, high = (num_lost - num_won) / num_samples, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        linear = (2 * num_samples - num_lost + num_won) * middle - num_lost - num_won
        constant = -num_won * middle * (1 - middle)
        won = (math.sqrt(linear * linear - 8 * num_samples * constant) - linear) / (4 * num_samples)
        spread = math.sqrt(num_samples * max(0.0, 2 * won + middle * (1 - middle)))
        inside = num_samples * middle - num_lost + num_won <= NORMAL_QUANTILE * spread
        low, high = (middle, high) if inside else (low, middle)
    return low


def bootstrap_interval(differences: np.ndarray, *, seed: int) -> tuple[float, float]:
    """95 % percentile interval of the mean of paired differences, from 2,000 resamples of the samples.

    Args:
        differences: [n], one per sample.
    Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.
    """
    generator = np.random.default_rng(seed)
    means = [
        differences[generator.integers(len(differences), size=(rows, len(differences)), dtype=np.int64)].mean(axis=1)
        for rows in _chunk_rows(len(differences))
    ]
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return float(low), float(high)


def sign_flip_p_value(differences: np.ndarray, *, seed: int) -> float:
    """Two-sided p-value of the paired permutation test: does it matter which of the two models gave which value?

    Each difference is flipped in sign with probability 1/2, 2,000 times; p = (1 + number of |mean| that reach the
    observed one) / 2001, so the smallest p is 0.0005.

    Args:
        differences: [n], one per sample.
    Source: Fisher 1935; the counting as in Phipson and Smyth 2010, "Permutation p-values should never be zero".
    """
    total = float(differences.sum())
    # Sums in another order differ in their last bits; what equals the observed sum must count as reaching it.
    limit = abs(total) - 1e-9 * float(np.abs(differences).sum())
    generator = np.random.default_rng(seed)
    reached = 0
    for rows in _chunk_rows(len(differences)):
        kept = generator.integers(2, size=(rows, len(differences)), dtype=np.int8).astype(np.float64)
        reached += int((np.abs(2 * (kept @ differences) - total) >= limit).sum())
    return (1 + reached) / (1 + NUM_RESAMPLES)


def _chunk_rows(num_samples: int) -> list[int]:
    """Resamples per chunk, so that a chunk holds at most CHUNK_VALUES values."""
    rows = max(1, min(NUM_RESAMPLES, CHUNK_VALUES // num_samples))
    whole, rest = divmod(NUM_RESAMPLES, rows)
    return [rows] * whole + [rest] * (rest > 0)
