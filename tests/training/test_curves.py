"""Curves for TensorBoard: ordinary event files with one point per epoch, also after a kill."""

import pytest
from tensorflow.core.util.event_pb2 import Event

from edgecompress.backend import tf
from edgecompress.models.copying import copy_model
from edgecompress.recipe.stages import Match, ReplaceConvolutions, Train
from edgecompress.techniques import replace_convolutions
from edgecompress.training import fit


def points(folder):
    """Tag -> (step, value) of the one event file of a folder; its first event names the format."""
    (file,) = folder.glob("events.out.tfevents.*")
    events = [Event.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(file))]
    assert events[0].file_version == "brain.Event:2"
    found = {}
    for event in events[1:]:
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_killed_training_has_each_epoch_once(small_model, make_context, tmp_path, killed_at):
    with killed_at(2) as callback:
        fit(copy_model(small_model), Train(epochs=3), make_context(), callbacks=[callback])
    rows = fit(copy_model(small_model), Train(epochs=3), make_context())
    curves = {part: points(tmp_path / "tensorboard" / part) for part in ("train", "validation")}
    assert set(curves["train"]) == {"epoch_loss", "epoch_accuracy", "epoch_learning_rate"}
    assert set(curves["validation"]) == {"epoch_loss", "epoch_accuracy"}
    for part, name, key in (("train", "epoch_loss", "loss"), ("validation", "epoch_accuracy", "validation_accuracy")):
        assert curves[part][name] == [(row["epoch"], pytest.approx(row[key])) for row in rows]


def test_finished_run_holds_the_curves_of_its_trainings(finished_run):
    folder = finished_run / "stages" / "00-baseline" / "tensorboard"
    assert len(points(folder / "train")["epoch_loss"]) == 5
    assert len(points(folder / "validation")["epoch_loss"]) == 5


def test_curves_of_several_trainings_of_a_stage_lie_side_by_side(small_model, make_context, tmp_path):
    from dataclasses import replace

    context = make_context()
    (tmp_path / "first").mkdir()
    fit(copy_model(small_model), Train(epochs=1), replace(context, folder=tmp_path / "first", logs=context.curves / "first"))
    fit(copy_model(small_model), Train(epochs=1), context)
    assert points(tmp_path / "tensorboard" / "first" / "train")
    assert points(tmp_path / "tensorboard" / "train")


def test_layer_wise_matching_writes_its_curves_beside_those_of_the_recovery(small_model, make_context, tmp_path):
    config = ReplaceConvolutions(method="separable", layers=["conv1"], timed_as=None, match=Match(epochs=2), train=Train(epochs=1))
    replace_convolutions.apply(small_model, config, make_context())
    folder = tmp_path / "tensorboard"
    matched = points(folder / "match" / "train")
    assert {name: [step for step, _ in steps] for name, steps in matched.items()} == {"epoch_loss": [1, 2], "epoch_learning_rate": [1, 2]}
    assert not (folder / "match" / "validation").exists()
    assert len(points(folder / "train")["epoch_loss"]) == 1
