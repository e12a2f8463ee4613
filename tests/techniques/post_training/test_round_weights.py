"""Rounding that looks at what layers read: never worse than to the nearest, and it is what the file holds."""

from itertools import product

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.errors import RecipeError
from edgecompress.export import convert
from edgecompress.models.copying import copy_model
from edgecompress.models.layer_samples import linear_part
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export
from edgecompress.recipe.stages import CorrectBias, RoundWeights
from edgecompress.techniques.post_training import correct_bias, round_weights
from edgecompress.techniques.post_training.folding import fold_normalization
from edgecompress.techniques.post_training.round_weights import round_kernel
from edgecompress.techniques.post_training.rounding import Evidence, adaround, coordinate_descent, nearest, search_scales
from edgecompress.tflite import KerasKernel, find_kernels, parse

layers = keras.layers


def problem(taps=8, outputs=5, seed=0, groups=1, rank=2):
    """A kernel, steps of 15 integers, and rows whose values hang together, so that rounding one weight can make up for another."""
    generator = np.random.default_rng(seed)
    rows = np.abs(generator.normal(size=(groups, 300, rank)) @ generator.normal(size=(groups, rank, taps))) + 0.1
    kernel = generator.normal(size=(groups, taps, outputs))
    gram = np.swapaxes(rows, 1, 2) @ rows / 300
    return rows, kernel, np.abs(kernel).max(axis=1, keepdims=True) / 7, Evidence(gram, np.zeros_like(kernel))


def test_cost_is_the_mean_square_of_what_the_layer_gives_more():
    rows, kernel, steps, evidence = problem(groups=3)
    error = nearest(kernel, steps, 7) * steps - kernel
    np.testing.assert_allclose(evidence.cost(error), ((rows @ error) ** 2).mean(axis=1, keepdims=True))


def test_rounding_by_hand():
    # Two equal inputs, weights 0.4 and 0.4 in steps of 1: to the nearest gives 0, one of them rounded up gives 1, which is nearer to 0.8.
    evidence = Evidence(np.ones((1, 2, 2)), np.zeros((1, 2, 1)))
    kernel, steps = np.array([[[0.4], [0.4]]]), np.ones((1, 1, 1))
    assert nearest(kernel, steps, 7).sum() == 0
    assert coordinate_descent(nearest(kernel, steps, 7), kernel, steps, 7, evidence).sum() == 1


def test_adaround_takes_most_of_what_the_best_of_all_ways_up_and_down_gains():
    costs = []
    for seed in range(8):
        _, kernel, steps, evidence = problem(seed=seed, rank=4)
        floors = np.floor(kernel / steps)
        ways = np.array(list(product([0, 1], repeat=8)), float)  # [256, 8]
        best = np.min([evidence.cost(np.minimum(floors + way[:, np.newaxis], 7) * steps - kernel) for way in ways], axis=0)
        plain, found = (evidence.cost(made * steps - kernel) for made in (nearest(kernel, steps, 7), adaround(kernel, steps, 7, evidence)))
        assert (found <= plain).all()
        costs.append([each.sum() for each in (best, found, plain)])
    best, found, plain = np.sum(costs, axis=0)
    # Gradient descent on a problem of whole numbers ends beside the best one at times.
    assert found < best + 0.4 * (plain - best)


@pytest.mark.parametrize("seed", range(3))
def test_after_coordinate_descent_no_single_change_helps(seed):
    _, kernel, steps, evidence = problem(seed=seed, groups=2)
    found = coordinate_descent(nearest(kernel, steps, 7), kernel, steps, 7, evidence, sweeps=30)
    least = evidence.cost(found * steps - kernel)
    for tap, change in product(range(8), (-1, 1)):
        other = found.copy()
        other[:, tap] = np.clip(other[:, tap] + change, -7, 7)
        assert (evidence.cost(other * steps - kernel) >= least - 1e-12).all()


def test_pinned_integers_stay():
    _, kernel, steps, evidence = problem()
    start = nearest(kernel, steps, 7)
    pinned = np.random.default_rng(0).random(start.shape) < 0.5
    found = coordinate_descent(start, kernel, steps, 7, evidence, pinned=pinned)
    assert (found[pinned] == start[pinned]).all()
    assert (found != start).any()


def test_searched_scales_cost_no_more_than_the_widest():
    _, kernel, steps, evidence = problem(seed=3)
    integers, found = search_scales(kernel, 7, evidence)
    plain = coordinate_descent(nearest(kernel, steps, 7), kernel, steps, 7, evidence)
    assert (evidence.cost(integers * found - kernel) <= evidence.cost(plain * steps - kernel) + 1e-12).all()
    assert np.abs(integers).max() <= 7
    assert (integers == np.round(integers)).all()


def test_channel_of_zeros_stays():
    _, kernel, _, evidence = problem()
    kernel[:, :, 0] = 0
    steps = np.abs(kernel).max(axis=1, keepdims=True) / 7
    assert (adaround(kernel, steps, 7, evidence, iterations=10)[:, :, 0] == 0).all()
    assert (search_scales(kernel, 7, evidence)[0][:, :, 0] == 0).all()


@pytest.mark.parametrize("method", ["adaround", "coordinate_descent"])
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_weights_of_zero_stay_whatever_would_cost_less(method, bits):
    _, kernel, _, evidence = problem(taps=32, outputs=16, rank=8)
    kernel[np.random.default_rng(0).random(kernel.shape) < 0.6] = 0
    layer = layers.Dense(16)
    layer.build((None, 32))
    layer.set_weights([kernel[0], np.zeros(16)])
    on_grid = round_kernel(layer, evidence, RoundWeights(method=method, iterations=20), bits)
    assert (on_grid[kernel[0] == 0] == 0).all()


def network(seed=0):
    """Convolution with stride, depthwise, pointwise without bias, Dense on 8 x 8 x 1."""
    keras.utils.set_random_seed(seed)
    inputs = x = keras.Input((8, 8, 1))
    x = layers.BatchNormalization(name="conv_bn")(layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False, name="conv")(x))
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", depth_multiplier=2, name="dw")(layers.ReLU(name="relu")(x))
    x = layers.Flatten()(layers.Conv2D(5, 1, use_bias=False, activation="relu", name="pw")(x))
    return keras.Model(inputs, layers.Dense(4, name="logits")(x))


NAMES = {"conv": "Conv2D", "dw": "DepthwiseConv2D", "pw": "Conv2D", "logits": "Dense"}


@pytest.fixture(scope="module")
def folded():
    return fold_normalization(network(), set(NAMES) | {"conv_bn"}).model


@pytest.mark.parametrize("name", NAMES)
def test_evidence_is_that_of_the_layer_itself(folded, digits, name):
    exact, in_file = folded, copy_model(folded)
    in_file.get_layer("conv").set_weights([values * 1.1 for values in in_file.get_layer("conv").get_weights()])
    layer = exact.get_layer(name)
    moments = round_weights.gather(exact, in_file, layer, digits.calibration)
    kernel = layer.get_weights()[0]
    other = kernel + np.random.default_rng(0).normal(size=kernel.shape).astype(np.float32) * 0.1
    inputs = digits.calibration.arrays()[0]
    wanted, received = (keras.Model(model.inputs, model.get_layer(name).input)(inputs) for model in (exact, in_file))
    run = [linear_part(layer, weights, wanted.shape[1:]) for weights in (kernel, other)]
    difference = (run[1](received) - run[0](wanted)).numpy().astype(np.float64).reshape(-1, other.shape[-1] if name != "dw" else 12)
    np.testing.assert_allclose(moments.shift(other.astype(np.float64)), difference.mean(axis=0), atol=1e-4)
    evidence = moments.evidence(has_bias=True)
    error = moments.form.group(other.astype(np.float64)) - moments.kernel
    none = evidence.cost(error) - evidence.cost(np.zeros_like(error))
    behind = (run[0](received) - run[0](wanted)).numpy().astype(np.float64).reshape(difference.shape)
    # The cost is the variance of the difference, less what it is with exact weights.
    np.testing.assert_allclose(none.reshape(-1), difference.var(axis=0) - behind.var(axis=0), atol=1e-4 * difference.var(axis=0).max())


@pytest.mark.parametrize("kernels", ["per_channel", "per_tensor"])
@pytest.mark.parametrize("method", ["adaround", "coordinate_descent"])
def test_rounded_kernels_are_the_ones_in_the_file(folded, make_context, digits, probe_in_this_process, method, kernels):
    model = round_weights.apply(folded, RoundWeights(method=method, kernels=kernels), make_context()).model
    samples = digits.calibration.arrays()[0]
    export = Export(format="int8", kernels=kernels)
    content = convert(model, export, calibration=samples, progress=Progress()).content
    changed = 0
    for name, kind in NAMES.items():
        kernel, before = (each.get_layer(name).get_weights()[0] for each in (model, folded))
        (stored,) = find_kernels(parse(content), [KerasKernel(name, kernel.shape, kind)])
        scales = stored.scales.reshape(kernel.shape[-2:]) if kind == "DepthwiseConv2D" and stored.scales.size > 1 else stored.scales
        # The file's scale is the largest weight / 127 in float32.
        np.testing.assert_allclose(stored.values * scales, kernel, rtol=1e-6, atol=1e-9)
        changed += int((np.round(before / scales) != stored.values).sum())
    assert changed > 20


@pytest.mark.parametrize("method", ["adaround", "coordinate_descent"])
def test_kernels_of_four_bits_are_the_ones_in_the_file(folded, make_context, digits, probe_in_this_process, method):
    model = round_weights.apply(folded, RoundWeights(method=method, bits={"type:Conv2D": 4}), make_context()).model
    export = Export(format="int8", layers={"type:Conv2D": "int4"}, ranges="mse")
    conversion = convert(model, export, calibration=digits.calibration.arrays()[0], progress=Progress())
    stored = {weights.name: weights.stored for weights in conversion.weights}
    assert stored == {"conv": "int4", "dw": "int8", "pw": "int4", "logits": "int8"}
    for name in ("conv", "pw"):
        kernel = model.get_layer(name).get_weights()[0]
        (found,) = find_kernels(parse(conversion.content), [KerasKernel(name, kernel.shape, "Conv2D")])
        assert np.abs(found.values).max() <= 7
        # Steps are recovered from float32 weights.
        np.testing.assert_allclose(found.values * found.scales, kernel, rtol=1e-4, atol=1e-6)


def test_bits_of_layers_that_are_not_there_are_refused(folded, make_context):
    with pytest.raises(RecipeError, match="conv_x"):
        round_weights.apply(folded, RoundWeights(bits={"conv_x": 4}), make_context())


def test_outputs_are_nearer_than_with_nearest_rounding(folded, make_context, digits):
    inputs = digits.calibration.arrays()[0]
    expected, errors = folded(inputs).numpy(), {}
    plain = copy_model(folded)
    for name in NAMES:
        layer = plain.get_layer(name)
        layer.set_weights([correct_bias.rounded(layer.get_weights()[0], depthwise=name == "dw"), *layer.get_weights()[1:]])
    errors["nearest"] = ((plain(inputs) - expected).numpy() ** 2).mean()
    for method in ("adaround", "coordinate_descent"):
        model = round_weights.apply(folded, RoundWeights(method=method), make_context()).model
        errors[method] = ((model(inputs) - expected).numpy() ** 2).mean()
        np.testing.assert_allclose(model(inputs).numpy().mean(axis=0), expected.mean(axis=0), atol=1e-5)
    assert max(errors["adaround"], errors["coordinate_descent"]) < 0.5 * errors["nearest"]


def test_skipped_layers_and_zeros_stay(folded, make_context):
    model = copy_model(folded)
    kernel, bias = model.get_layer("dw").get_weights()
    kernel[0] = 0
    model.get_layer("dw").set_weights([kernel, bias])
    for method in ("adaround", "coordinate_descent"):
        result = round_weights.apply(model, RoundWeights(skip=["pw"], method=method), make_context())
        np.testing.assert_array_equal(result.model.get_layer("pw").get_weights()[0], model.get_layer("pw").get_weights()[0])
        assert (result.model.get_layer("dw").get_weights()[0][0] == 0).all()
        records = {record.name: record for record in result.layers}
        assert records["pw"].reason == "not chosen by `layers` and `skip`"


def test_bias_correction_behind_it_finds_nothing_to_do(folded, make_context):
    rounded = round_weights.apply(folded, RoundWeights(), make_context()).model
    corrected = correct_bias.apply(rounded, CorrectBias(skip=["pw"]), make_context()).model
    for name in ("conv", "dw", "logits"):
        np.testing.assert_allclose(corrected.get_layer(name).get_weights()[1], rounded.get_layer(name).get_weights()[1], atol=1e-6)
