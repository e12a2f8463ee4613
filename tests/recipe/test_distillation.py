"""The distill stage and `train.distill`: what may be written, and what the losses are then."""

import pytest

from edgecompress.errors import RecipeError
from edgecompress.recipe import dump_recipe, load_recipe
from edgecompress.recipe.describe import describe_technique
from edgecompress.recipe.distillation import KD, MSE, Distillation

CLASSIFICATION = "classification"


def stage(small, text):
    return load_recipe("r.yaml", text=f"{small}stages:\n  - {text}\n").stages[0]


def test_true_stands_for_the_defaults_wherever_something_trains(small):
    for technique in ("train: {epochs: 1, distill: true}", "prune_weights: {sparsity: 0.5, train: {epochs: 1, distill: true}}"):
        assert stage(small, technique).train.distill == Distillation()
    assert stage(small, "quantize_aware: {train: {epochs: 1, distill: false}}").train.distill is None


def test_short_forms_equal_the_long_ones(small):
    short = stage(
        small, "distill: {teacher: baseline, student: {scale: 0.5}, losses: {kd: true, hints: {pairs: auto}}, train: {epochs: 1}}"
    )
    long = stage(
        small,
        "distill: {teacher: [{source: baseline}], student: {source: scale, scale: 0.5}, losses: {kd: {}, hints: {pairs: []}, mse: false},"
        " train: {epochs: 1}}",
    )
    assert short == long


def test_dumped_recipe_loads_to_an_equal_one(small):
    text = (
        f"{small}stages:\n  - distill: {{teacher: [baseline, {{source: builder, name: mlp, train: {{epochs: 1}}}}],"
        " student: {scale: 0.5}, losses: {kd: {temperature: 2}}, train: {epochs: 1}}\n"
        "  - train: {epochs: 1, distill: {losses: {hints: {pairs: [[a, b*]]}}}}\n"
    )
    recipe = load_recipe("r.yaml", text=text)
    assert load_recipe("r.yaml", text=dump_recipe(recipe)) == recipe


def test_losses_of_a_recipe_that_names_none_fit_the_task():
    assert Distillation().losses_for(CLASSIFICATION) == [KD()]
    assert Distillation().losses_for("multi_label") == [KD()]
    assert Distillation().losses_for("regression") == [MSE()]


@pytest.mark.parametrize(
    ("written", "weight"),
    [
        ({}, 0.1), ({"losses": {"kd": {"weight": 0.7}}}, 0.3), ({"losses": {"kd": {"weight": 5}}}, 0.0),
        ({"losses": {"hints": {}}}, 1.0), ({"labels": 0.5}, 0.5), ({"losses": {"kd": {"weight": 0}, "mse": {}}}, 1.0),
    ],
)  # fmt: skip
def test_labels_weigh_what_kd_leaves(written, weight):
    assert Distillation.model_validate(written).label_weight(CLASSIFICATION) == pytest.approx(weight)


def test_losses_of_weight_0_are_left_out():
    chosen = Distillation.model_validate({"losses": {"kd": {"weight": 0}, "mse": {}}}).losses_for(CLASSIFICATION)
    assert chosen == [MSE()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("losses: {kd: {temperature: 0}}", "losses.kd.temperature: temperature must be a number greater than 0"),
        ("losses: {kd: {temperature: -1}}", "temperature must be a number greater than 0 and at most 1000. Received: -1."),
        ("losses: {kd: {weight: 0}, mse: {weight: 0}}", "weights of losses must not all be 0. Received: kd, mse with weight 0."),
        ("losses: {kdd: true}", "key must be one of kd, dkd, .* Received: 'kdd'. Did you mean 'kd'?"),
        ("losses: {hints: {pairs: [[a]]}}", "pairs.0: item must be a list of 2 texts. Received: \\['a'\\]"),
        ("teacher: {source: bulider}", "source must be one of .*builder, file, python. Received: 'bulider'. Did you mean 'builder'?"),
        ("teacher: {source: builder, nmae: cnn}", "teacher.0.nmae: key must be one of source, name, width, train. .*Did you mean 'name'?"),
        ("teacher: [baseline, baseline], losses: {hints: true}", "teacher must be one for losses between layers \\(hints\\)"),
        ("student: {scale: 0}", "student.scale: scale must be a number greater than 0"),
        ("student: {source: builder, name: cnn, train: {epochs: 1}}", "student.train must be absent"),
        ("losses: {dkd: {target_weight: 0, others_weight: 0}}", "target_weight and others_weight must not both be 0"),
        ("mutual: 2", "student must be given with mutual"),
        ("mutual: 2, student: {source: file, path: a.h5}", "student must be a builder or .* Received: a file"),
        ("mutual: 2, student: {scale: 1}, generations: 2", "generations must be 1 with mutual"),
        ("mutual: 2, student: {scale: 1}, teacher: {source: file, path: a.h5}", "teacher must be absent with mutual"),
        ("mutual: 2, student: {scale: 1}, losses: {gram: true}", "losses must be of kd, dkd, hard_labels, mse with mutual. Received: gram"),
    ],
)  # fmt: skip
def test_bad_input_is_named(small, text, message):
    with pytest.raises(RecipeError, match=message):
        stage(small, f"distill: {{{text}, train: {{epochs: 1}}}}")


@pytest.mark.parametrize("name", ["kd", "dkd", "hard_labels"])
@pytest.mark.parametrize(
    "form", ["distill: {{losses: {{{name}: true}}, train: {{epochs: 1}}}}", "train: {{epochs: 1, distill: {{losses: {{{name}: true}}}}}}"]
)
def test_losses_that_need_classes_are_refused_for_other_tasks(small, name, form):
    other = small + "task: {loss: mean_squared_error, metrics: [mean_squared_error]}\n"
    with pytest.raises(RecipeError, match=f"losses.{name}: {name} must be left to a task of classification.* Received: a regression task."):
        stage(other, form.format(name=name))


def test_fields_of_distill_are_described_once():
    assert "losses.kd.temperature" in {field.name for field in describe_technique("distill").fields}
    assert not any(field.name.startswith("distill.") for field in describe_technique("train").fields)


def test_unlabelled_samples_without_a_teacher_are_warned_of(small):
    from edgecompress.recipe import check_recipe

    text = small.replace("source: digits", "source: digits, limit: 100, unlabelled: rest")
    idle = load_recipe("r.yaml", text=f"{text}stages:\n  - train: {{epochs: 1}}\n")
    assert check_recipe(idle) == ["data.unlabelled: no stage of this recipe learns from a teacher, so samples without labels are not used."]
    assert check_recipe(load_recipe("r.yaml", text=f"{text}stages:\n  - train: {{epochs: 1, distill: true}}\n")) == []


def test_rest_without_limit_is_an_error(small):
    with pytest.raises(RecipeError, match="limit must be given with unlabelled: rest"):
        load_recipe("r.yaml", text=small.replace("source: digits", "source: digits, unlabelled: rest"))


def test_a_teacher_that_nothing_trained_is_warned_of(small):
    from edgecompress.recipe import check_recipe

    def warnings(train):
        teacher = f"{{source: builder, name: cnn{train}}}"
        return check_recipe(load_recipe("r.yaml", text=f"{small}stages:\n  - distill: {{teacher: {teacher}, train: {{epochs: 1}}}}\n"))

    assert any("a teacher without `train` has random weights" in warning for warning in warnings(""))
    assert not any("random weights" in warning for warning in warnings(", train: {epochs: 1}"))


def test_the_data_themselves_are_no_unlabelled_samples(small):
    text = small.replace("source: digits", "source: digits, unlabelled: {source: digits}")
    with pytest.raises(RecipeError, match=r"data\.unlabelled: unlabelled must be other data.* Received: 'digits'"):
        load_recipe("r.yaml", text=text)
