"""Rounded weights and their gradients: hand-worked, and against formulas written in NumPy."""

import numpy as np
import pytest

from edgecompress.backend import tf
from edgecompress.techniques.low_bits.estimators import binary, first_scales, learned_steps, ternary
from edgecompress.weight_grids import least_error_scales


def with_gradients(function, *values):
    """The result, and the gradients of its sum weighted by 1, 2, 3, ..."""
    tensors = [tf.constant(value, tf.float32) for value in values]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        result = function(*tensors)
        total = tf.reduce_sum(result * tf.constant(np.arange(1, 1 + np.prod(result.shape)).reshape(result.shape), tf.float32))
    return result.numpy(), [gradient.numpy() for gradient in tape.gradient(total, tensors)]


def test_learned_steps_hand_worked():
    """Levels -1, 0, 1 at a scale of 0.5: equations 1 to 3 of the source."""
    result, (of_weights, of_scale) = with_gradients(
        lambda weights, scale: learned_steps(weights, scale, 2, 4), [[0.2], [0.3], [-2.0], [0.5]], [[0.5]]
    )
    np.testing.assert_allclose(result, [[0.0], [0.5], [-0.5], [0.5]])
    np.testing.assert_allclose(of_weights, [[1], [2], [0], [4]])
    # round(w/s) - w/s where |w/s| <= 1, else its sign; weighted by 1, 2, 3, 4; divided by sqrt(4 * 1)
    np.testing.assert_allclose(of_scale, [[(1 * (0 - 0.4) + 2 * (1 - 0.6) + 3 * -1 + 4 * (1 - 1)) / 2]], rtol=1e-6)


def test_learned_steps_follow_the_formulas_on_random_kernels():
    generator = np.random.default_rng(0)
    weights, scale = generator.normal(size=(3, 3, 4, 5)), generator.uniform(0.1, 0.6, (1, 1, 1, 5))
    result, (of_weights, of_scale) = with_gradients(lambda w, s: learned_steps(w, s, 4, 36), weights, scale)
    steps, weighted = weights / scale, np.arange(1, 181).reshape(weights.shape)
    inside = np.abs(steps) <= 7
    np.testing.assert_allclose(result, np.round(np.clip(steps, -7, 7)) * scale, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(of_weights, weighted * inside, rtol=1e-5)
    slope = np.where(inside, np.round(steps) - steps, 7 * np.sign(steps))
    np.testing.assert_allclose(of_scale, (weighted * slope).sum((0, 1, 2), keepdims=True) / np.sqrt(36 * 7), rtol=1e-3, atol=1e-2)


def test_ternary_hand_worked():
    """mean |w| = 0.5, threshold 0.35; scale is the mean of 0.4, 0.6 and 0.9. A weight beyond 1 gets no gradient."""
    weights = [[0.1], [-0.4], [0.6], [0.9]]
    result, (gradient,) = with_gradients(lambda tensor: ternary(tensor, [0]), weights)
    np.testing.assert_allclose(result, np.array([[0], [-1], [1], [1]]) * (1.9 / 3), rtol=1e-6)
    np.testing.assert_allclose(gradient, [[1], [2], [3], [4]])
    _, (gradient,) = with_gradients(lambda tensor: ternary(tensor, [0]), [[0.1], [-1.4]])
    np.testing.assert_allclose(gradient, [[1], [0]])


def test_binary_hand_worked():
    """scale = mean |w|; d/dw of scale * sign: scale where |w| <= 1, and sign(w) / n times the sum of the weighted signs."""
    weights = np.array([[0.5], [-0.2], [0.0], [-1.3]])
    result, (gradient,) = with_gradients(lambda tensor: binary(tensor, [0]), weights)
    np.testing.assert_allclose(result, np.array([[1], [-1], [1], [-1]]) * 0.5, rtol=1e-6)
    of_scale = 1 - 2 + 3 - 4
    signs = np.sign(weights)
    np.testing.assert_allclose(gradient, 0.5 * np.array([[1], [2], [3], [0]]) + of_scale * signs / 4, rtol=1e-6)


@pytest.mark.parametrize("function", [ternary, binary])
def test_each_output_channel_has_its_own_scale(function):
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 5)) * np.array([1, 10, 100, 0.1, 0.01])
    result = function(tf.constant(kernel, tf.float32), [0, 1, 2]).numpy()
    for channel in range(5):
        alone = function(tf.constant(kernel[..., channel : channel + 1], tf.float32), [0, 1, 2]).numpy()
        np.testing.assert_allclose(result[..., channel], alone[..., 0], rtol=1e-6)


def test_a_channel_of_zeros_stays_zero():
    assert not ternary(tf.zeros((3, 2)), [0]).numpy().any()
    assert not binary(tf.zeros((3, 2)), [0]).numpy().any()


def test_learning_starts_from_the_least_error():
    rows = np.random.default_rng(0).normal(size=(3, 50))
    np.testing.assert_array_equal(first_scales(rows, 4), least_error_scales(rows, 4))
    np.testing.assert_array_equal(first_scales(rows, 2), least_error_scales(rows, 2))
