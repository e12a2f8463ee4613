"""What of a worker's own recipe and data must be the chief's."""

import dataclasses

import pytest

from edgecompress.recipe import make_recipe
from edgecompress.recipe.stages import Train
from edgecompress.workers.chief import taken_from
from edgecompress.workers.follow import _differs


def recipe(**more):
    values = {"name": "r", "data": {"source": "digits"}, "model": {"source": "builder", "name": "mlp"}}
    for path, value in more.items():
        section, _, field = path.partition("__")
        values[section] = {**values.get(section, {}), field: value}
    return make_recipe(values)


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"task__from_logits": False}, "task.from_logits"),
        ({"task__metrics": ["top_5_accuracy"]}, "task.metrics"),
        ({"task__own_loss": "mine.py:focal_loss"}, "task.own_loss"),
        ({"data__augment": {"shift": 0.1}}, "data.augment.shift"),
    ],
)
def test_what_a_training_takes_from_the_recipe_is_told_apart(changed, name):
    ours, theirs = taken_from(recipe()), taken_from(recipe(**changed))
    assert [fact for fact in ours if ours[fact] != theirs[fact]] == [name]


def test_where_code_lies_does_not_count():
    def facts(place):
        own = {"right": {"function": f"{place}/mine.py:right", "rises": True}}
        return taken_from(recipe(task__own_loss=f"{place}/mine.py:loss", task__own_metrics=own, task__metrics=["right"]))

    assert facts("/a") == facts("/b")


@pytest.mark.parametrize(("weights", "refused"), [(None, False), ("balanced", False), ({"3": 2.0}, True)])
def test_names_of_classes_must_be_the_chiefs_where_some_are_weighed_by_name(digits, weights, refused):
    chief = {"fingerprint": digits.fingerprint, "batch_size": digits.batch_size, "class_names": digits.class_names}
    other = dataclasses.replace(digits, class_names=digits.class_names[::-1])
    complaint = _differs(chief, Train(epochs=1, class_weights=weights), other)
    assert (complaint is not None) is refused
    assert not refused or complaint.startswith("names of classes that are weighed must be the chief's, 0, 1,")
    assert _differs(chief, Train(epochs=1, class_weights=weights), digits) is None
