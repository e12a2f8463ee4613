"""The training step with a teacher: what it adds up, whom it changes, and that a killed training goes on with the same bits."""

from functools import partial

import numpy as np
import pytest

import edgecompress as ec
from edgecompress.backend import keras, tf
from edgecompress.errors import ModelError
from edgecompress.models.copying import copy_model
from edgecompress.models.scaling import scale_widths
from edgecompress.recipe.distillation import Distillation
from edgecompress.recipe.schema import Task
from edgecompress.techniques.distill import teach
from edgecompress.techniques.distill.outputs import as_logits, combine_logits
from edgecompress.training import fit

EVERY_LOSS = [
    ec.KD(), ec.DKD(), ec.HardLabels(), ec.MSE(), ec.Hints(), ec.AttentionTransfer(), ec.Gram(),
    ec.FSP(pairs=[["relu1", "relu1"], ["conv2", "conv2"]]), ec.RKDDistance(), ec.RKDAngle(), ec.SimilarityPreserving(),
    ec.CorrelationCongruence(),
]  # fmt: skip


@pytest.fixture
def make_context(make_context, few_digits):
    """The surroundings with a third of the samples."""
    return partial(make_context, data=few_digits)


@pytest.fixture
def student(small_model):
    return scale_widths(small_model, 0.5, seed=5)


def compiled(distiller, rate=1e-3):
    distiller.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"])
    return distiller


def heard(lesson):
    """What the teacher said."""
    return np.concatenate([beside["teacher"] for (_, beside), _ in lesson.samples.dataset(64)])


def same(one, other):
    return all((a == b).all() for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def test_addends_are_logged_and_add_up_to_the_loss(student, small_model, digits):
    x, y = (array[:128] for array in digits.train.arrays())
    distiller = compiled(ec.Distiller(student, small_model, EVERY_LOSS, labels=0.3))
    logs = distiller.fit(x, y, epochs=1, verbose=0, validation_data=(x, y)).history
    addends = {name: values[0] for name, values in logs.items() if name.startswith("loss_")}
    assert list(addends) == ["loss_labels", *(f"loss_{loss.name}" for loss in EVERY_LOSS)]
    assert sum(addends.values()) == pytest.approx(logs["loss"][0], rel=1e-5)  # float32 means of four batches
    assert set(logs) == {"loss", "accuracy", *addends, "val_loss", "val_accuracy"}


def test_metric_may_be_called_as_a_part_of_the_training_is(student, small_model, digits):
    distiller = ec.Distiller(student, small_model)
    metric = keras.metrics.SparseCategoricalAccuracy(name="total")
    distiller.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True), [metric])
    history = distiller.fit(digits.train.dataset(64), validation_data=digits.validation.dataset(64), epochs=1, verbose=0).history
    assert set(history) == {"loss", "total", "loss_kd", "loss_labels", "val_loss", "val_total"}
    right = student.predict(digits.validation.arrays()[0], verbose=0).argmax(axis=1) == digits.validation.arrays()[1]
    assert history["val_total"][0] == pytest.approx(right.mean())


def test_teacher_is_unchanged_and_no_part_of_the_distiller(student, small_model, digits):
    x, y = (array[:128] for array in digits.train.arrays())
    before = small_model.get_weights()
    distiller = compiled(ec.Distiller(student, small_model, EVERY_LOSS))
    distiller.fit(x, y, epochs=1, verbose=0)
    assert all((was == now).all() for was, now in zip(before, small_model.get_weights(), strict=True))
    theirs = {id(variable) for variable in small_model.weights}
    assert not theirs & {id(variable) for variable in distiller.weights}
    adaptors = distiller.count_params() - student.count_params()
    assert adaptors > 0
    assert [layer.name for layer in distiller.student.layers] == [layer.name for layer in small_model.layers]


def test_losses_of_weight_0_leave_the_bits_of_a_plain_training(student, small_model, digits):
    x, y = (array[:128] for array in digits.train.arrays())
    plain, taught = copy_model(student), copy_model(student)
    for model in (plain, taught):
        model.get_layer("dropout").rate = 0.0  # its random numbers would depend on the layer's place
    compiled(plain).fit(x, y, epochs=2, verbose=0, shuffle=False)
    compiled(ec.Distiller(taught, small_model, [ec.MSE(weight=0.0)], labels=1.0)).fit(x, y, epochs=2, verbose=0, shuffle=False)
    assert same(plain, taught)


def test_student_learns_to_do_what_the_teacher_does(small_model, digits):
    x, _ = digits.train.arrays()
    student = scale_widths(small_model, 1.0, seed=9)
    distiller = compiled(ec.Distiller(student, small_model, [ec.KD(weight=1.0)]), 3e-3)
    loss = distiller.fit(x, np.zeros(len(x)), epochs=8, batch_size=64, verbose=0).history["loss"]
    assert loss[-1] < 0.2 * loss[0]


def test_known_teacher_outputs_give_the_training_that_asking_gives(student, small_model, few_digits, make_context):
    asked, known = copy_model(student), copy_model(student)
    samples = few_digits.train
    distillation = Distillation.model_validate({"losses": {"kd": {}, "dkd": {}}})
    context = make_context(baseline=small_model)
    lesson = teach(known, distillation, context)
    assert set(lesson.samples.dataset(8).element_spec[0][1]) == {"teacher"}
    again = teach(known, distillation, context)  # from the file
    np.testing.assert_array_equal(heard(lesson), heard(again))
    compiled(lesson.trainee).fit(lesson.samples.dataset(64), epochs=2, verbose=0)
    keras.utils.set_random_seed(context.seed)
    compiled(ec.Distiller(asked, small_model, [ec.KD(), ec.DKD()], seed=context.seed)).fit(samples.dataset(64), epochs=2, verbose=0)
    for one, other in zip(asked.get_weights(), known.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)  # batches of other sizes round the teacher differently; Adam divides by it


def test_outputs_are_stored_only_where_samples_do_not_change(student, small_model, digits, make_context, tmp_path):
    import dataclasses

    def stores(losses, augments):
        folder = tmp_path / f"{len(losses)}{augments}"
        data = dataclasses.replace(digits, augments=augments)
        teach(student, Distillation.model_validate({"losses": losses}), make_context(folder=folder, data=data, baseline=small_model))
        return (folder / "work" / "teacher_outputs.npy").exists()

    assert stores({"kd": {}}, False)
    assert not stores({"kd": {}}, True)
    assert not stores({"kd": {}, "hints": {}}, False)


def test_resumed_training_with_a_teacher_gives_the_bits_of_an_undisturbed_one(student, small_model, make_context, tmp_path, killed_at):
    losses = {"kd": {}, "hints": {"weight": 0.1}}  # the adaptors go on too
    train = ec.Train(epochs=3, early_stop=3, distill=Distillation.model_validate({"losses": losses}))
    undisturbed, killed, resumed = (copy_model(student) for _ in range(3))
    for name in "ab":
        (tmp_path / name).mkdir()
    whole = fit(undisturbed, train, make_context(folder=tmp_path / "a", baseline=small_model))
    with killed_at(2) as callback:
        fit(killed, train, make_context(folder=tmp_path / "b", baseline=small_model), callbacks=[callback])
    rows = fit(resumed, train, make_context(folder=tmp_path / "b", baseline=small_model))
    assert same(undisturbed, resumed)
    assert rows == whole
    assert {"loss_labels", "loss_kd", "validation_accuracy"} <= set(rows[0])


def test_train_distill_without_anybody_to_teach_is_an_error(student, make_context):
    import dataclasses

    from edgecompress.stage import Context

    context = make_context()
    alone = Context(**{field.name: getattr(context, field.name) for field in dataclasses.fields(Context) if field.name != "teach"})
    with pytest.raises(ModelError, match="must be absent where nobody teaches"):
        fit(student, ec.Train(epochs=1, distill=Distillation()), alone)


@pytest.mark.parametrize("kind", ["classification", "multi_label"])
def test_probabilities_say_what_their_logits_said(kind):
    logits = tf.constant(np.random.default_rng(0).normal(size=(6, 4)), tf.float32)
    loss = "sparse_categorical_crossentropy" if kind == "classification" else "binary_crossentropy"
    task = Task(loss=loss, from_logits=False)
    activation = tf.nn.softmax if kind == "classification" else tf.sigmoid
    np.testing.assert_allclose(activation(as_logits(activation(logits), task)), activation(logits), atol=1e-6)


@pytest.mark.parametrize(("kind", "activation"), [("classification", tf.nn.softmax), ("multi_label", tf.sigmoid)])
def test_several_teachers_are_the_mean_of_their_probabilities_or_logits(kind, activation):
    teachers = [tf.constant(np.random.default_rng(seed).normal(size=(6, 4)), tf.float32) for seed in range(3)]
    mean = tf.add_n([activation(teacher) for teacher in teachers]) / 3
    np.testing.assert_allclose(activation(combine_logits(teachers, kind, "probabilities")), mean, atol=1e-6)
    np.testing.assert_allclose(combine_logits(teachers, kind, "logits"), tf.add_n(teachers) / 3, atol=1e-6)
    np.testing.assert_allclose(combine_logits(teachers, "regression", "probabilities"), tf.add_n(teachers) / 3, atol=1e-6)


def dense(inputs, outputs):
    flat = keras.layers.GlobalAveragePooling2D() if None in inputs else keras.layers.Flatten()
    return keras.Sequential([keras.layers.Input(inputs), flat, keras.layers.Dense(outputs)])


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ((8, 8, 1), 11, r"must have the student's outputs \[10\]. Received: \[11\]"),
        ((9, 8, 1), 10, r"must take the student's inputs \[8, 8, 1\]. Received: \[9, 8, 1\]. `resize: true` resizes"),
        ((8, 8, 3), 10, r"must take the student's inputs \[8, 8, 1\]. Received: \[8, 8, 3\].$"),
        ((64,), 10, r"must take the student's inputs \[8, 8, 1\]. Received: \[64\].$"),
        ((None, None, 1), 10, r"Received: \[None, None, 1\]. `input_shape` of a teacher from a file fixes its size.$"),
    ],
)
def test_teacher_of_other_shapes_is_refused_with_both(student, inputs, outputs, message):
    with pytest.raises(ModelError, match=message):
        ec.Distiller(student, dense(inputs, outputs))


def test_teacher_of_open_size_is_not_resized_to(student):
    with pytest.raises(ModelError, match="`input_shape` of a teacher"):
        ec.Distiller(student, dense((None, None, 1), 10), resize=True)


def test_losses_of_one_name_are_addends_of_their_own(student, small_model, digits):
    x, y = (array[:64] for array in digits.train.arrays())
    heavy, light = ec.KD(weight=100.0), ec.KD(weight=1e-9, temperature=1.0)
    logs = compiled(ec.Distiller(student, small_model, [heavy, light], labels=0.0)).train_on_batch(x, y, return_dict=True)
    assert {"loss_kd", "loss_kd_2"} <= set(logs)
    assert logs["loss"] == pytest.approx(logs["loss_kd"] + logs["loss_kd_2"], rel=1e-5)
    assert logs["loss_kd"] > 1e6 * logs["loss_kd_2"]


def test_labels_of_one_column_are_classes(student, small_model, digits):
    x, y = (array[:64] for array in digits.train.arrays())
    for layer in student.layers:
        layer.trainable = False
    student.get_layer("dropout").rate = 0.0
    flat, column = (
        compiled(ec.Distiller(student, small_model, [ec.DKD()])).train_on_batch(x, labels, return_dict=True)["loss_dkd"]
        for labels in (y, y[:, None])
    )
    assert column == pytest.approx(flat, rel=1e-6)


def test_model_of_two_inputs_learns_from_lists():
    def two_inputs():
        inputs = [keras.Input((3,)), keras.Input((3,))]
        return keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Concatenate()(inputs)))

    x, y = np.random.default_rng(0).normal(size=(2, 8, 3)).astype(np.float32), np.arange(8) % 4
    history = compiled(ec.Distiller(two_inputs(), two_inputs())).fit([x[0], x[1]], y, verbose=0).history
    assert np.isfinite(history["loss_kd"][0])


def test_teacher_of_another_size_teaches_with_resize(student, digits):
    x, y = (array[:64] for array in digits.train.arrays())
    distiller = compiled(ec.Distiller(student, dense((16, 16, 1), 10), resize=True))
    assert np.isfinite(distiller.fit(x, y, verbose=0).history["loss"][0])


def test_regression_and_autoencoder_learn_the_values(digits):
    x = digits.train.arrays()[0][:64]
    student, teacher = (
        keras.Sequential([keras.layers.Input((8, 8, 1)), keras.layers.Conv2D(1, 3, padding="same")]) for _ in range(2)
    )  # fmt: skip
    task = {"loss": "mean_squared_error", "metrics": ["mean_squared_error"], "target": "input"}
    assert [term.name for term in ec.Distiller(student, teacher, task=task).terms] == ["mse"]
    distiller = ec.Distiller(student, teacher, [ec.MSE()], labels=0.0, task=task)
    distiller.compile("adam", "mse")
    logs = distiller.fit(x, x, epochs=1, batch_size=64, verbose=0).history
    assert set(logs) == {"loss", "loss_mse"}


def test_unlabelled_samples_teach_but_have_no_part_in_label_loss_and_metrics(student, small_model, digits):
    x, y = (array[:64] for array in digits.train.arrays())
    labelled = np.arange(64) % 4 == 0
    for layer in student.layers:
        layer.trainable = False  # BatchNormalization then looks at each sample alone
    student.get_layer("dropout").rate = 0.0

    def logs(inputs, labels):
        distiller = compiled(ec.Distiller(student, small_model, [ec.KD(), ec.DKD()], labels=1.0))
        return distiller.train_on_batch(inputs, labels, return_dict=True)

    wrong = np.where(labelled, y, (y + 1) % 10)
    some = logs((x, {"labelled": labelled}), wrong)
    only = logs(x[labelled], y[labelled])
    everything = logs(x, y)
    assert some["loss_labels"] == pytest.approx(only["loss_labels"], rel=1e-5)
    assert some["accuracy"] == pytest.approx(only["accuracy"])
    assert some["loss_kd"] == pytest.approx(everything["loss_kd"], rel=1e-5)
    assert some["loss_dkd"] != pytest.approx(everything["loss_dkd"], rel=1e-3)  # the teacher's choice stands for the label


def test_batch_without_any_label_has_a_label_loss_of_0(student, small_model, digits):
    x, y = (array[:8] for array in digits.train.arrays())
    distiller = compiled(ec.Distiller(student, small_model, labels=1.0))
    logs = distiller.train_on_batch((x, {"labelled": np.zeros(8, bool)}), y, return_dict=True)
    assert logs["loss_labels"] == 0
    assert np.isfinite(logs["loss"])
