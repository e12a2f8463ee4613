"""The distill stage: students, teachers, generations, mutual learning; and teachers in other stages' trainings."""

from functools import partial

import numpy as np
import pytest

import edgecompress as ec
from edgecompress.backend import keras
from edgecompress.errors import ModelError
from edgecompress.keeps import find_variable
from edgecompress.models import build_model, load_model, save_model
from edgecompress.models.copying import copy_model
from edgecompress.recipe.distillation import Distillation
from edgecompress.recipe.schema import BuilderModel, FileModel
from edgecompress.recipe.stages.distill import Scaled
from edgecompress.recipe.stages.prune_channels import SparseTraining
from edgecompress.recipe.training import Training
from edgecompress.techniques import distill, prune_channels, prune_weights, quantize_aware
from edgecompress.techniques.distill import parts, teachers

ONE_EPOCH = Training(epochs=1)


@pytest.fixture
def make_context(make_context, few_digits):
    """The surroundings with a third of the samples."""
    return partial(make_context, data=few_digits)


@pytest.fixture(scope="module")
def baseline(digits):
    """A small network, trained for a moment."""
    model = build_model(BuilderModel(source="builder", name="ds_cnn", width=24), digits.input_shape, 10, seed=0)
    model.compile(keras.optimizers.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(*digits.train.arrays(), epochs=6, batch_size=64, verbose=0)
    return model


def make(model, context, **settings):
    keras.utils.set_random_seed(context.seed)
    return distill.apply(model, ec.Distill.model_validate({"train": ONE_EPOCH} | settings), context)


def same(one, other):
    return all((a == b).all() for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def test_scaled_student_has_the_teachers_layers_and_half_of_its_widths(baseline, make_context):
    result = make(baseline, make_context(baseline=baseline), student=Scaled(scale=0.5))
    assert [layer.name for layer in result.model.layers] == [layer.name for layer in baseline.layers]
    assert {layer.filters for layer in result.model.layers if type(layer).__name__ == "Conv2D"} == {12}
    assert result.model.output_shape == (None, 10)
    assert [(record.name, record.type, record.action) for record in result.layers] == [
        (result.model.name, "student", "changed"), ("baseline", "teacher", "skipped"),
    ]  # fmt: skip


def test_student_alone_stays_behind_with_nothing_of_teacher_or_adaptors(baseline, make_context):
    losses = {"kd": {}, "hints": {"weight": 0.1}, "gram": {"weight": 0.1}}
    result = make(baseline, make_context(baseline=baseline), student=BuilderModel(source="builder", name="cnn", width=4), losses=losses)
    plain = ec.Distill(student=BuilderModel(source="builder", name="cnn", width=4), train=ONE_EPOCH)
    expected, _ = distill.plan(baseline, plain, make_context(baseline=baseline).outlook)
    assert [layer.name for layer in result.model.layers] == [layer.name for layer in expected.layers]
    assert result.model.count_params() == expected.count_params()
    assert any("adaptor, dropped after training" in record.reason for record in result.layers)


def test_model_as_it_is_recovers_and_keeps_hold(baseline, make_context):
    pruned = prune_weights.apply(baseline, ec.PruneWeights(sparsity=0.6), make_context())
    result = make(pruned.model, make_context(keeps=pruned.keeps, baseline=baseline), train=Training(epochs=4))
    assert result.keeps == pruned.keeps
    for keep in result.keeps:
        assert keep.held(find_variable(result.model, keep.layer, keep.weight).numpy())
    context = make_context()
    assert context.evaluate(result.model)["accuracy"] > context.evaluate(pruned.model)["accuracy"]


def test_other_student_releases_the_keeps_and_says_so(baseline, make_context):
    pruned = prune_weights.apply(baseline, ec.PruneWeights(sparsity=0.5, layers=["conv1"]), make_context())
    result = make(pruned.model, make_context(keeps=pruned.keeps, baseline=baseline), student=Scaled(scale=0.5))
    assert result.keeps == ()
    assert result.released == ("conv1: sparsity 0.5000, the student is another model",)


def test_student_from_a_file_starts_from_its_weights(baseline, make_context, tmp_path):
    save_model(baseline, tmp_path / "student.h5")
    frozen = Training(epochs=1, freeze=["*"], learning_rate=1e-3)
    student = FileModel(source="file", path=str(tmp_path / "student.h5"))
    result = make(baseline, make_context(baseline=baseline), student=student, train=frozen)
    np.testing.assert_array_equal(result.model.get_layer("conv1").kernel, baseline.get_layer("conv1").kernel)


def test_trained_teacher_and_file_teach_together(baseline, make_context, tmp_path):
    save_model(baseline, tmp_path / "teacher.h5")
    several = [
        "baseline", {"source": "file", "path": str(tmp_path / "teacher.h5")},
        {"source": "builder", "name": "mlp", "width": 8, "train": {"epochs": 1}},
    ]  # fmt: skip
    result = make(baseline, make_context(baseline=baseline), student=Scaled(scale=0.5), teacher=several)
    assert [record.name for record in result.layers if record.type == "teacher"] == [
        "baseline",
        str(tmp_path / "teacher.h5"),
        "builder mlp",
    ]
    assert (tmp_path / "work" / "teacher3" / "model.h5").exists()


class Killed(Exception):
    """Stands for SIGKILL."""


def test_stage_killed_after_a_teacher_gives_the_bits_of_an_undisturbed_one(baseline, make_context, tmp_path, monkeypatch):
    teacher = {"source": "builder", "name": "mlp", "width": 8, "train": {"epochs": 1}}
    settings = {"teacher": teacher, "student": Scaled(scale=0.5), "generations": 2}
    whole = make(baseline, make_context(folder=tmp_path / "a", baseline=baseline), **settings)
    save = parts.save_model

    def save_and_die(model, path):
        save(model, path)
        raise Killed

    monkeypatch.setattr(parts, "save_model", save_and_die)
    with pytest.raises(Killed):
        make(baseline, make_context(folder=tmp_path / "b", baseline=baseline), **settings)
    monkeypatch.setattr(parts, "save_model", save)
    resumed = make(baseline, make_context(folder=tmp_path / "b", baseline=baseline), **settings)
    assert same(whole.model, resumed.model)
    assert whole.training == resumed.training
    first = load_model(tmp_path / "b" / "work" / "generation1" / "model.h5")
    assert first.count_params() == resumed.model.count_params()
    assert not same(first, resumed.model)
    assert len(resumed.training) == 2


def test_mutual_students_agree_more_than_students_alone_and_the_best_goes_on(baseline, make_context, digits):
    settings = {"student": Scaled(scale=0.5), "mutual": 2, "train": Training(epochs=2, learning_rate=3e-3)}
    result = make(baseline, make_context(baseline=baseline), **settings)
    assert {"loss_labels", "loss_kd"} <= set(result.training[0])
    assert [record.type for record in result.layers] == ["student"]
    accuracy = make_context().evaluate(result.model)["accuracy"]
    assert accuracy >= result.training[-1]["validation_accuracy"] - 1e-6  # that of the first student, in float32


def test_worse_teacher_is_warned_of_with_both_numbers(baseline, small_model, make_context):
    warnings = []
    make(baseline, make_context(baseline=small_model, warn=warnings.append))
    ours, theirs = (make_context().evaluate(model)["accuracy"] for model in (baseline, small_model))
    assert warnings == [
        f"01 test: the teacher baseline is worse than the student before it learns: validation accuracy {theirs:.4f} against {ours:.4f}."
    ]


def test_better_teacher_is_not_warned_of(baseline, small_model, make_context):
    warnings = []
    make(small_model, make_context(baseline=baseline, warn=warnings.append))
    assert warnings == []


def test_teacher_file_of_another_size_is_refused_or_resized(baseline, make_context, tmp_path):
    large = keras.Sequential([keras.layers.Input((16, 16, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    save_model(large, tmp_path / "large.h5")
    teacher = {"source": "file", "path": str(tmp_path / "large.h5")}
    with pytest.raises(ModelError, match=r"must take the student's inputs \[8, 8, 1\]. Received: \[16, 16, 1\]. `resize: true`"):
        make(baseline, make_context(baseline=baseline), teacher=teacher)
    warnings = []
    make(baseline, make_context(baseline=baseline, warn=warnings.append), teacher=teacher, resize=True)
    assert len(warnings) == 1  # untrained


def training(epochs, **losses):
    return ec.Train(epochs=epochs, distill=Distillation.model_validate({"losses": {"kd": {}, **losses}}))


@pytest.mark.parametrize(
    ("module", "config"),
    [
        (prune_weights, ec.PruneWeights(sparsity=0.6, train=training(2, hints={"weight": 0.1}))),
        (quantize_aware, ec.QuantizeAware(train=training(1, rkd_distance={}))),
    ],
)
def test_teachers_help_in_the_training_of_other_stages(baseline, make_context, module, config):
    result = module.apply(baseline, config, make_context(baseline=baseline))
    assert all(row["loss_kd"] > 0 for row in result.training)
    for keep in result.keeps:
        assert keep.held(find_variable(result.model, keep.layer, keep.weight).numpy())
    if module is prune_weights:
        assert {round(float((find_variable(result.model, keep.layer, keep.weight).numpy() == 0).mean()), 1) for keep in result.keeps} == {
            0.6
        }


@pytest.mark.parametrize(("width_while_sparse", "num_trained"), [(8, 1), (4, 2)])
def test_a_teacher_is_trained_once_for_all_trainings_of_a_stage(baseline, make_context, monkeypatch, width_while_sparse, num_trained):
    trained, fit = [], teachers.fit
    monkeypatch.setattr(teachers, "fit", lambda model, *rest: trained.append(model) or fit(model, *rest))

    def taught(width):
        teacher = {"source": "builder", "name": "mlp", "width": width, "train": {"epochs": 1}}
        return ec.Train(epochs=1, distill=Distillation.model_validate({"teacher": teacher}))

    sparse = SparseTraining(train=taught(width_while_sparse))
    config = ec.PruneChannels(macs=0.5, criterion="l1", steps=2, sparse=sparse, train=taught(8))
    result = prune_channels.apply(baseline, config, make_context(baseline=baseline))
    assert len(result.training) == 3
    assert len(trained) == num_trained


def test_scaled_student_that_does_not_fit_together_is_an_error(make_context):
    inputs = keras.Input((8, 8, 16))
    x = keras.layers.Add()([inputs, keras.layers.Conv2D(16, 3, padding="same")(inputs)])
    model = keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(x)))
    from edgecompress.models.scaling import scale_widths

    with pytest.raises(ModelError, match=r"widths of .* do not fit together at 0\.5: name a builder or a file"):
        scale_widths(model, 0.5, seed=0)


def test_samples_without_labels_join_the_lesson(baseline, make_context):
    from edgecompress.data import load_data
    from edgecompress.recipe.schema import Data, Preprocess, Task, Unlabelled
    from edgecompress.training.fit import num_steps_per_epoch

    config = Data(source="digits", preprocess=Preprocess(scale=1 / 16), batch_size=64, limit=64, unlabelled=Unlabelled(source="rest"))
    data = load_data(config, Task(), seed=0)
    context = make_context(data=data, baseline=baseline)
    lesson = distill.teach(copy_model(baseline), Distillation(), context)
    assert len(lesson.samples) == len(data.train) + len(data.unlabelled)
    assert num_steps_per_epoch(context, training(1)) == -(-len(lesson.samples) // 64)
    assert num_steps_per_epoch(context, ec.Train(epochs=1)) == 1
    result = make(baseline, context, student=Scaled(scale=0.5))
    assert np.isfinite(result.training[0]["loss_labels"])


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ({"inputs": (16, 16, 1), "outputs": 10}, r"student, a scaled teacher: .*\[8, 8, 1\]\. Received.*\[16, 16, 1\]|must have the shape"),
        ({"inputs": (8, 8, 1), "outputs": 20}, r"student, a scaled teacher: outputs must have the shape \(10,\) .* Received: \(20,\)"),
    ],
)
def test_scaled_student_must_fit_the_data(baseline, make_context, tmp_path, teacher, message):
    layers = [keras.layers.Input(teacher["inputs"]), keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D()]
    save_model(keras.Sequential([*layers, keras.layers.Dense(teacher["outputs"])]), tmp_path / "other.h5")
    file = {"source": "file", "path": str(tmp_path / "other.h5")}
    with pytest.raises(ModelError, match=message):
        make(baseline, make_context(baseline=baseline), student=Scaled(scale=0.5), teacher=file, resize=True)


def test_mutual_students_of_values_teach_each_other_values():
    from edgecompress.recipe.schema import Task
    from edgecompress.techniques.distill.stage import mutual_losses

    config = ec.Distill.model_validate({"student": {"scale": 0.5}, "mutual": 2, "train": ONE_EPOCH})
    assert [loss.name for loss in mutual_losses(config, "regression")] == ["mse"]
    assert [(loss.name, loss.temperature) for loss in mutual_losses(config, Task().kind)] == [("kd", 1.0)]


def test_teacher_worse_than_the_new_student_that_it_taught_is_warned_of(small_model, make_context):
    warnings = []
    settings = {"student": BuilderModel(source="builder", name="cnn", width=8), "labels": 1.0, "losses": {"kd": {"weight": 0.01}}}
    make(small_model, make_context(baseline=small_model, warn=warnings.append), **settings, train=Training(epochs=4, learning_rate=3e-3))
    assert len(warnings) == 1
    assert "the teacher baseline is worse than the student that it taught: validation accuracy" in warnings[0]
