"""Outputs of .tflite files: the same bits whatever the way, and errors that say what is wrong."""

import itertools

import numpy as np
import pytest

from edgecompress.backend import keras, tf
from edgecompress.device.runtime import TfliteModel
from edgecompress.errors import ModelError
from edgecompress.evaluation import evaluate_keras, evaluate_tflite, tflite_outputs, tflite_ways
from edgecompress.evaluation.sample_stream import SampleStream
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Task

VALUES = Task(loss="mean_squared_error", metrics=["mean_squared_error"])
SIZES = [1, 2, 31, 32, 33, 300]


@pytest.fixture
def force(monkeypatch):
    """`force(batches=..., threads=..., wide=...)`: the probe is made to prefer a way, wherever that way gives the same bits."""

    turn = tflite_ways._turn

    def choose(*, batches, threads, wide=False):
        def preferred(way, *arguments):
            yield from turn(way, *arguments)
            return 1 / way.batch_size if wide else (0.5 if way.batch_size > 1 else 1.0) / len(way.models)

        monkeypatch.setattr(tflite_ways, "WORTHWHILE", 0 if batches or threads else np.inf)
        monkeypatch.setattr(tflite_ways, "BATCH_SECONDS", 10.0 if batches else 0.0)
        monkeypatch.setattr(tflite_ways, "BATCH_COST", np.inf)
        monkeypatch.setattr(tflite_ways, "CLEAR_GAIN", np.inf)
        monkeypatch.setattr(tflite_ways, "PIECE_SECONDS", 1e-4)  # many pieces
        monkeypatch.setattr(tflite_ways, "TURN_SECONDS", 1e-4)
        monkeypatch.setattr(tflite_ways, "HOPELESS", np.inf)  # what was measured is not comparable with what is preferred
        monkeypatch.setattr(tflite_ways, "WIDER", 2)
        monkeypatch.setattr(tflite_ways, "_turn", preferred)

    return choose


@pytest.fixture
def ways(monkeypatch):
    """The ways that were taken, as (number of models, batch size)."""
    taken = []
    run = tflite_outputs.run_fastest

    def spy(contenders, *arguments):
        way = tflite_ways.fastest(contenders).way
        taken.append((len(way.models), way.batch_size))
        return run(contenders, *arguments)

    monkeypatch.setattr(tflite_outputs, "run_fastest", spy)
    return taken


def outputs_of(path, split, threads=1):
    outputs, targets = zip(*tflite_outputs.tflite_outputs(path, split, threads=threads), strict=True)
    return np.concatenate(outputs), np.concatenate(targets)


@pytest.mark.parametrize("kind", ["float32", "int8"])
@pytest.mark.parametrize(
    ("batches", "threads", "wide"), [*itertools.product([False, True], [1, 2, 3], [False]), (True, 2, True), (True, 3, True)]
)
def test_every_way_gives_the_bits_of_one_sample_at_a_time(networks, make_split, digits, force, ways, kind, batches, threads, wide):
    inputs, labels = digits.train.arrays()
    model = TfliteModel(networks[kind])
    expected = np.concatenate([model.predict(sample[None]) for sample in inputs] * 3)
    inputs, labels = np.concatenate([inputs] * 3), np.concatenate([labels] * 3)  # enough for a turn of every way
    force(batches=batches, threads=threads > 1, wide=wide)
    outputs, targets = outputs_of(networks[kind], make_split(inputs, labels), threads)
    np.testing.assert_array_equal(outputs, expected)
    np.testing.assert_array_equal(targets, labels)
    assert ways == [(1, 256) if wide else (threads, 128 if batches else 1)]


@pytest.mark.parametrize("num_samples", SIZES)
@pytest.mark.parametrize("threads", [1, 2])
def test_any_number_of_samples_comes_out_once_and_in_order(make_tflite, make_split, force, num_samples, threads):
    path = make_tflite(lambda x: 2.0 * x, (3,), name="double")
    inputs = np.arange(3 * num_samples, dtype=np.float32).reshape(-1, 3)
    force(batches=True, threads=threads > 1)
    outputs, _ = outputs_of(path, make_split(inputs), threads)
    np.testing.assert_array_equal(outputs, 2 * inputs)


def test_a_graph_that_is_made_for_one_sample_is_not_batched(make_tflite, make_split, force, ways):
    path = make_tflite(lambda x: tf.reshape(tf.nn.softmax(tf.reshape(x, [2, 3])), [1, 6]), (6,), name="reshapes")
    inputs = np.random.default_rng(0).normal(size=(100, 6)).astype(np.float32)
    force(batches=True, threads=False)
    outputs, _ = outputs_of(path, make_split(inputs))
    expected = tf.nn.softmax(inputs.reshape(100, 2, 3)).numpy().reshape(100, 6)
    np.testing.assert_allclose(outputs, expected, atol=1e-6)  # another exponential, float32
    assert ways == [(1, 1)]


def test_a_graph_that_mixes_the_samples_of_a_batch_is_not_batched(make_tflite, make_split, force, ways):
    path = make_tflite(lambda x: x - tf.reduce_mean(x, axis=0, keepdims=True), (6,), name="mixes", batch_size=None)
    inputs = np.random.default_rng(0).normal(size=(100, 6)).astype(np.float32)
    force(batches=True, threads=False)
    np.testing.assert_array_equal(outputs_of(path, make_split(inputs))[0], np.zeros_like(inputs))
    assert ways == [(1, 1)]


def test_a_file_of_fixed_batch_takes_any_number_of_samples(make_tflite, make_split, ways):
    path = make_tflite(lambda x: x + 1.0, (3,), name="eight", batch_size=8)
    inputs = np.arange(39, dtype=np.float32).reshape(13, 3)
    np.testing.assert_array_equal(outputs_of(path, make_split(inputs))[0], inputs + 1)
    assert ways == [(1, 8)]


@pytest.fixture(scope="module")
def lstm(tmp_path_factory):
    """A recurrent network and its file, whose operator keeps its state in variables from one invoke to the next."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5, 3, 1), batch_size=1)
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.LSTM(4)(inputs[..., 0])))
    path = tmp_path_factory.mktemp("lstm") / "lstm.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    return model, path


@pytest.mark.parametrize("threads", [1, 2])
def test_state_of_an_lstm_does_not_leak_into_the_next_sample(lstm, make_split, force, ways, threads):
    model, path = lstm
    inputs = np.random.default_rng(0).normal(size=(400, 5, 3, 1)).astype(np.float32)
    force(batches=True, threads=threads > 1)
    outputs, _ = outputs_of(path, make_split(inputs), threads)
    expected = np.concatenate([model(sample[None]).numpy() for sample in inputs])
    np.testing.assert_allclose(outputs, expected, atol=1e-5)  # float32 sums in another order
    assert ways == [(threads, 1)]


def test_keras_and_tflite_go_through_the_same_metrics(networks, small_model, digits):
    task = Task(metrics=["accuracy", "top_5_accuracy", "sparse_categorical_crossentropy"])
    from_keras = evaluate_keras(small_model, digits.test, task, batch_size=64, progress=Progress())
    from_file = evaluate_tflite(networks["float32"], digits.test, task, progress=Progress())
    assert list(from_file.metrics) == list(from_keras.metrics)
    np.testing.assert_array_equal(from_file.predictions, from_keras.predictions)
    assert from_file.metrics["sparse_categorical_crossentropy"] == pytest.approx(
        from_keras.metrics["sparse_categorical_crossentropy"], rel=1e-5
    )


def test_only_a_little_is_read_ahead(make_split, networks, monkeypatch, force):
    force(batches=True, threads=True)
    monkeypatch.setattr(tflite_outputs, "LARGEST_READ", 64)
    streams = []
    monkeypatch.setattr(tflite_outputs, "SampleStream", lambda *arguments: streams.append(SampleStream(*arguments)) or streams[0])
    # Bytes: float32 samples would be taken from where they lie, without a read.
    outputs = tflite_outputs.tflite_outputs(networks["int8"], make_split(np.zeros((2000, 8, 8, 1), np.uint8)), threads=2)
    for num_done in itertools.accumulate(len(batch) for batch, _ in outputs):
        num_taken = 2000 - streams[0].num_left
        assert num_taken - num_done <= 5 * 64  # two pieces per thread wait, and one is being handed out
    assert num_done == 2000


def test_a_short_job_opens_no_second_interpreter(networks, digits, make_split, ways):
    inputs, labels = digits.test.arrays()
    outputs_of(networks["int8"], make_split(inputs[:40], labels[:40]), threads=2)
    assert ways == [(1, 1)]


@pytest.mark.parametrize("quiet_from", [0, 6])
def test_a_long_job_turns_to_the_way_that_is_faster_by_now(networks, make_split, monkeypatch, force, ways, quiet_from):
    force(batches=False, threads=True)
    turn, turns = tflite_ways._turn, []

    def on_a_noisy_machine(way, *arguments):  # at first other programs use the cores that our threads want
        yield from turn(way, *arguments)
        turns.append(len(way.models))
        return 1e-3 if len(way.models) == 1 else 2e-3 if len(turns) < quiet_from else 0.5e-3

    monkeypatch.setattr(tflite_ways, "_turn", on_a_noisy_machine)
    monkeypatch.setattr(tflite_ways, "HOPELESS", 1.2)
    monkeypatch.setattr(tflite_ways, "REVIEW_SECONDS", 0.02)
    outputs, _ = outputs_of(networks["float32"], make_split(np.zeros((2000, 8, 8, 1), np.float32)), threads=2)
    assert len(outputs) == 2000
    assert turns[-4:].count(2) >= 3  # the threads ran the rest
    assert ways == [(1, 1) if quiet_from else (2, 1)]  # what the probe saw


def test_batches_that_turn_out_slower_give_way_to_one_sample_at_a_time(networks, make_split, monkeypatch, force):
    force(batches=True, threads=False)
    turn, turns = tflite_ways._turn, []

    def slower_in_batches(way, *arguments):
        yield from turn(way, *arguments)
        turns.append(way.batch_size)
        return 1e-3 * way.batch_size

    monkeypatch.setattr(tflite_ways, "_turn", slower_in_batches)
    monkeypatch.setattr(tflite_ways, "HOPELESS", 1.2)
    monkeypatch.setattr(tflite_ways, "REVIEW_SECONDS", 0.05)
    outputs, _ = outputs_of(networks["float32"], make_split(np.zeros((4000, 8, 8, 1), np.float32)))
    assert len(outputs) == 4000
    assert turns[0] == 128
    assert turns[-4:].count(1) >= 3


@pytest.mark.parametrize("inputs", [np.zeros((40, 3), np.float32), np.zeros((1, 3), np.float32)])
def test_outputs_that_are_not_finite_name_the_file(make_tflite, make_split, inputs):
    path = make_tflite(lambda x: tf.math.log(x - 1.0), (3,), name="nan")
    with pytest.raises(
        ModelError, match=rf"nan\.tflite: outputs must be finite\. Received: NaN or infinity for {len(inputs)} of {len(inputs)}"
    ):
        evaluate_tflite(path, make_split(inputs), Task(), progress=Progress())


def test_samples_must_have_the_shape_of_the_input(networks, make_split):
    with pytest.raises(ModelError, match=r"int8\.tflite: samples must have the shape .*, \[8, 8, 1\]\. Received: \[9, 8, 1\]"):
        evaluate_tflite(networks["int8"], make_split(np.zeros((4, 9, 8, 1), np.float32)), Task(), progress=Progress())


def test_files_that_cannot_be_loaded_are_named(networks, make_split, tmp_path):
    split = make_split(np.zeros((4, 8, 8, 1), np.float32))
    with pytest.raises(ModelError, match=r"absent\.tflite: the model cannot be read: No such file"):
        evaluate_tflite(tmp_path / "absent.tflite", split, Task(), progress=Progress())
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(networks["int8"].read_bytes()[:500])
    with pytest.raises(ModelError, match=r"cut\.tflite: .* refused the model"):
        evaluate_tflite(cut, split, Task(), progress=Progress())


def test_several_outputs_are_refused(make_split, data_folder):
    path = data_folder / "tflite_dtln/model_1.tflite"
    with pytest.raises(ModelError, match=r"model_1\.tflite: the model must have one output\. Received: 2"):
        evaluate_tflite(path, make_split(np.zeros((4, 3), np.float32)), Task(), progress=Progress())


@pytest.mark.parametrize(
    "file",
    ["ad/ad01_fp32.tflite", "ad/ad01_int8.tflite", "kws/kws_ref_model.tflite", "ic/pretrainedResnet.tflite", "vww/vww_96_int8.tflite"],
)
def test_real_models_give_the_same_bits_every_way(data_folder, make_split, force, file):
    path = data_folder / "mlperf_tiny" / file
    shape = TfliteModel(path).inputs[0].shape[1:]
    inputs = np.random.default_rng(0).integers(0, 256, size=(200, *shape)).astype(np.float32)
    found = []
    for batches, threads in ((False, 1), (True, 1), (True, 2)):
        force(batches=batches, threads=threads > 1)
        found.append(outputs_of(path, make_split(inputs), threads)[0])
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


def test_a_file_that_fails_to_run_is_named(make_tflite, make_split):
    path = make_tflite(lambda x: tf.gather(tf.constant([1.0, 2.0]), tf.cast(x, tf.int32)), (3,), name="gather")
    with pytest.raises(ModelError, match=r"gather\.tflite: .* failed to run the model: gather index out of bounds"):
        evaluate_tflite(path, make_split(np.full((4, 3), 9.0, np.float32)), Task(), progress=Progress())
