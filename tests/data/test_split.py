import gc
import resource
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from edgecompress.backend import keras, tf
from edgecompress.data.array_inputs import ArrayInputs
from edgecompress.data.split import Split, epoch_plan
from edgecompress.recipe.schema import Augment, Preprocess

NUM_SAMPLES = 23  # no multiple of the batch size
ROWS = np.arange(5, 5 + NUM_SAMPLES)


@pytest.fixture(scope="module")
def arrays():
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (40, 6, 5), dtype=np.uint8), generator.integers(0, 3, 40)


@pytest.fixture(scope="module")
def split(arrays):
    x, y = arrays
    settings = Augment(shift=0.3, flip="horizontal")
    return Split(ArrayInputs(x, "x"), y, ROWS, preprocess=Preprocess(scale=1 / 255), augment=settings)


def drawn(dataset):
    """All batches, as arrays."""
    return [(inputs.numpy(), targets.numpy()) for inputs, targets in dataset]


def joined(batches):
    return tuple(np.concatenate(arrays) for arrays in zip(*batches, strict=True))


def assert_equal(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one[0], other[0])
        assert np.array_equal(one[1], other[1])


def test_natural_order_gives_the_rows_of_the_split(split, arrays):
    batches = drawn(split.dataset(8))
    inputs, targets = joined(batches)
    assert [len(batch[1]) for batch in batches] == [8, 8, 7]
    np.testing.assert_allclose(inputs[..., 0], arrays[0][ROWS] / 255, rtol=2e-7)  # one rounding of the factor, one of the product
    assert np.array_equal(targets, arrays[1][ROWS])
    assert np.array_equal(split.labels, targets)
    assert_equal([split.arrays()], [(inputs, targets)])


@pytest.mark.parametrize("order", [np.arange(NUM_SAMPLES)[::-1], np.array([3, 3, 0]), np.array([7], dtype=np.int32)])
def test_order_is_followed_and_may_be_a_subset(split, order):
    inputs, targets = split.arrays()
    assert_equal([joined(drawn(split.dataset(4, order=order)))], [(inputs[order], targets[order])])


def test_dataset_repeats_itself_and_follows_the_augmentation_seed(split):
    plain, first, same, other = (drawn(split.dataset(8, augment_seed=seed)) for seed in (None, 1, 1, 2))
    assert_equal(first, same)
    assert not np.array_equal(first[0][0], other[0][0])
    assert not np.array_equal(first[0][0], plain[0][0])
    assert_equal([(batch[1], batch[1]) for batch in first], [(batch[1], batch[1]) for batch in plain])


def test_batches_of_one_epoch_are_augmented_differently(split):
    order = np.zeros(16, dtype=int)
    first, second = drawn(split.dataset(8, order=order, augment_seed=1))
    assert not np.array_equal(first[0], second[0])


def test_input_as_target_gives_each_input_twice_even_augmented(arrays):
    settings = Augment(flip="horizontal")
    split = Split(ArrayInputs(arrays[0], "x"), None, ROWS, preprocess=Preprocess(), target="input", augment=settings)
    for inputs, targets in drawn(split.dataset(8, augment_seed=1)) + drawn(split.epochs(8, seed=0, first_epoch=0, augment=True)):
        assert np.array_equal(inputs, targets)
    assert split.labels is None


@pytest.mark.parametrize("target", ["label", "input"])
def test_samples_that_are_taken_as_they_are_are_given_in_place(arrays, target):
    inputs = ArrayInputs(arrays[0][..., np.newaxis].astype(np.float32), "x")
    split = Split(inputs, arrays[1], ROWS, preprocess=Preprocess(), target=target)
    found, targets = split.in_place()
    assert_equal([(found, targets)], [split.arrays()])
    assert targets.dtype == split.arrays()[1].dtype
    assert np.shares_memory(found, Split(inputs, arrays[1], ROWS, preprocess=Preprocess()).in_place()[0])  # not copied
    assert not found.flags.writeable


def test_other_samples_are_not_given_in_place(arrays):
    x, y = arrays[0].astype(np.float32), arrays[1]
    plain = Split(ArrayInputs(x[..., np.newaxis], "x"), y, ROWS, preprocess=Preprocess())
    assert plain.in_place() is not None
    for rows in (ROWS[::-1], ROWS[::2], np.array([3, 3])):
        assert Split(ArrayInputs(x[..., np.newaxis], "x"), y, rows, preprocess=Preprocess()).in_place() is None
    for settings in ({"scale": 1 / 255}, {"mean": [0.5]}, {"std": [2.0]}, {"channels": "rgb"}, {"resize": [6, 5]}):
        assert Split(ArrayInputs(x[..., np.newaxis], "x"), y, ROWS, preprocess=Preprocess(**settings)).in_place() is None
    assert Split(ArrayInputs(x, "x"), y, ROWS, preprocess=Preprocess()).in_place() is None  # a channel axis is added
    assert Split(ArrayInputs(arrays[0], "x"), y, ROWS, preprocess=Preprocess()).in_place() is None  # bytes
    assert plain.beside(weight=np.ones(NUM_SAMPLES)).in_place() is None


def test_element_spec_leaves_only_the_batch_open(split):
    for dataset in (split.dataset(23), split.epochs(8, seed=0, first_epoch=0, augment=True)):
        assert dataset.element_spec == (tf.TensorSpec([None, 6, 5, 1], tf.float32), tf.TensorSpec([None], tf.int64))


@pytest.mark.parametrize("augment", [True, False])
def test_each_iteration_is_the_epoch_that_the_seed_and_its_number_say(split, augment):
    dataset = split.epochs(8, seed=7, first_epoch=3, augment=augment)
    assert dataset.cardinality() == 3
    for epoch in (3, 4, 5):
        order, augment_seed = epoch_plan(NUM_SAMPLES, 7, epoch)
        assert np.array_equal(np.sort(order), np.arange(NUM_SAMPLES))
        assert_equal(drawn(dataset), drawn(split.dataset(8, order=order, augment_seed=augment_seed if augment else None)))


def test_a_resumed_training_sees_what_an_undisturbed_one_sees(split):
    undisturbed = split.epochs(8, seed=1, first_epoch=0, augment=True)
    all_epochs = [drawn(undisturbed) for _ in range(4)]
    resumed = split.epochs(8, seed=1, first_epoch=2, augment=True)
    for epoch in (2, 3):
        assert_equal(drawn(resumed), all_epochs[epoch])
    assert not np.array_equal(all_epochs[0][0][1], all_epochs[1][0][1])


def test_epochs_of_another_seed_differ():
    assert not np.array_equal(epoch_plan(50, 0, 1)[0], epoch_plan(50, 1, 0)[0])


class Recorder(keras.Model):
    """A model that does nothing but write down the labels it is trained on, in order, and count its traces."""

    def __init__(self):
        super().__init__()
        self.seen = tf.Variable(tf.zeros([0], tf.int64), shape=[None], trainable=False)
        self.num_traces = 0

    def train_step(self, batch):
        self.num_traces += 1
        self.seen.assign(tf.concat([self.seen, batch[1]], axis=0))
        return {"loss": tf.reduce_sum(batch[0])}


def test_keras_fit_gets_one_epoch_after_the_other_with_one_trace_and_no_warning(split):
    model = Recorder()
    model.compile()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(split.epochs(8, seed=5, first_epoch=0, augment=True), epochs=4, verbose=0)
    expected = np.concatenate([split.labels[epoch_plan(NUM_SAMPLES, 5, epoch)[0]] for epoch in range(4)])
    assert np.array_equal(model.seen, expected)
    assert model.num_traces == 1


def resident_mb():
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def test_datasets_hold_no_copy_of_the_array():
    x = np.random.default_rng(0).integers(0, 256, (60_000, 28, 28), dtype=np.uint8)  # 47 MB; 188 MB as float32
    split = Split(ArrayInputs(x, "x"), np.zeros(len(x), np.int64), np.arange(len(x)), preprocess=Preprocess(scale=1 / 255))
    for _ in split.dataset(128):  # allocators and threads reach their size
        pass
    gc.collect()
    before = resident_mb()
    datasets = [split.epochs(128, seed=0, first_epoch=0, augment=False), split.dataset(128)]
    for dataset in datasets:
        for _ in dataset:
            pass
    assert resident_mb() - before < 30  # a copy of the bytes would be 47
    functions = [function.function.graph for dataset in datasets for function in chain_of_functions(dataset)]
    assert functions
    assert max(graph.as_graph_def().ByteSize() for graph in functions) < 10_000  # the array is captured, not a constant


def chain_of_functions(dataset):
    """The functions of a dataset and of those it reads from."""
    for source in dataset._inputs():
        yield from chain_of_functions(source)
    yield from dataset._functions()


MEASURE = r"""
import re, sys
import numpy as np
from edgecompress.backend import tf
def peak_kb():  # not ru_maxrss, which starts at what the parent held
    return int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read()).group(1))
tf.constant(0)
start = peak_kb()
x, y = np.load(sys.argv[1]), np.zeros(60_000, np.int64)
if sys.argv[2] == "split":
    from edgecompress.data.array_inputs import ArrayInputs
    from edgecompress.data.split import Split
    from edgecompress.recipe.schema import Preprocess
    split = Split(ArrayInputs(x, "x"), y, np.arange(len(x)), preprocess=Preprocess(scale=1 / 255))
    del x
    dataset = split.epochs(128, seed=0, first_epoch=0, augment=False)
else:
    x = x.astype(np.float32) / 255
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(128).prefetch(2)
for _ in range(2):
    for batch in dataset:
        pass
print((peak_kb() - start) / 1000)
"""


@pytest.mark.full
def test_peak_memory_is_below_that_of_float_arrays(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (60_000, 28, 28), dtype=np.uint8))
    peak_mb = {}
    for kind in ("split", "floats"):
        command = [sys.executable, "-c", MEASURE, str(tmp_path / "x.npy"), kind]
        peak_mb[kind] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert peak_mb["split"] < peak_mb["floats"] / 2
