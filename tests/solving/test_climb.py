"""Decisions of the climb, on models that exist only as formulas."""

import math
from dataclasses import dataclass

import pytest

from edgecompress.recipe.schema import Goal
from edgecompress.solving.climb import BACK_OFFS, SURVIVORS, Means, climb
from edgecompress.solving.design import Cuttable, Parts
from edgecompress.solving.steps import Step, instead, nearest

ALL = Cuttable(0.9, 3)
PARTS = Parts(channels=ALL, neurons=ALL, round_to=8, low_rank=True, low_bits=True, float_io=True)
LAYERS = (("dense", 0.0), ("conv2", 0.004), ("conv1", 0.2))
SIZES = dict.fromkeys(["dense", "conv2", "conv1"], 32_000)  # weights; the int8 file of the world has 100 kB


@dataclass
class World:
    """What a design gives: bytes, milliseconds and loss.

    `hurts`: what a whole cut loses before any training. `heals`: the part of a loss that each training leaves.
    """

    size_kb: float = 400.0
    ms: float = 1.0
    hurts: float = 0.4
    heals: float = 0.3
    int8_loss: float = 0.002

    def figures(self, design):
        kept = (1 - 0.85 * design.cut) ** 2 * (1 - 0.5 * min(1.0, design.low_rank * 3))
        bits = {"float32": 4.0, "float16": 2.0}.get(design.format, 1.0)
        if design.four_bits:
            bits *= 1 - 0.5 * len(design.four_bits) / len(LAYERS)
        size = 4 + (self.size_kb - 4) / 4 * kept * bits
        ms = self.ms / 4 * (4 if design.format == "float32" else 1) * (1 - 0.8 * design.cut) * (1.5 if design.four_bits else 1)
        loss = self.hurts * design.cut**2 + design.low_rank * 0.5 + (0.03 if design.four_bits else 0)
        loss *= self.heals ** (design.recovery + design.finish.startswith("aware"))
        quantized = self.int8_loss if design.format == "int8" else 0
        if design.finish in ("equalized", "rounded") or design.finish.startswith("aware"):
            quantized /= 4
        return size, ms, loss + quantized


def drive(world, limits, *, parts=PARTS, fails=lambda design: False, hurried=lambda: False):
    """Runs a climb to its end; (steps, designs, whether bits were measured)."""
    goal, measured = Goal.model_validate(limits), []
    path = climb(Means(parts, limits["metric_drop"], lambda: measured.append(1) or LAYERS, SIZES, hurried))
    steps, designs = [], []
    design = next(path)
    while True:
        designs.append(design)
        size, ms, loss = world.figures(design)
        values = {"size_kb": size, "p50_ms": ms}
        misses = {name: values[name] / limits[name] - 1 for name in values if name in limits}
        misses["metric_drop"] = (loss - limits["metric_drop"]) / limits["metric_drop"]
        number = len(steps)
        if fails(design):
            step = Step(number, design.words(), str(number), design.trains, 1.0, reason="cannot")
        else:
            step = Step(
                number, design.words(), str(number), design.trains, 1.0, bytes=round(1000 * size), metric=0.9 - loss, drop=loss,
                measured={"p50_ms": ms}, misses=misses,
            )  # fmt: skip
        steps.append(step)
        if step.met:
            return steps, designs, measured, goal
        try:
            design = path.send(step)
        except StopIteration:
            return steps, designs, measured, goal


def test_what_float32_keeps_needs_nothing_else():
    steps, *_ = drive(World(), {"metric_drop": 0.01, "size_kb": 500})
    assert [step.name for step in steps] == ["float32"]


def test_what_int8_keeps_is_found_before_anything_is_measured():
    steps, _, measured, _ = drive(World(), {"metric_drop": 0.01, "size_kb": 110})
    assert [step.name for step in steps] == ["float32", "int8"]
    assert not measured


def test_metric_that_int8_loses_is_mended_without_training_first():
    steps, designs, _, _ = drive(World(int8_loss=0.03), {"metric_drop": 0.01, "size_kb": 110})
    assert steps[-1].met
    assert not any(design.trains for design in designs)
    assert designs[-1].finish == "equalized"


def test_only_bytes_missing_tries_bits_before_any_cut():
    _, designs, measured, _ = drive(World(), {"metric_drop": 0.001, "size_kb": 60})
    assert len(measured) == 1
    assert designs[2].four_bits
    assert not designs[2].cut


def test_bits_alone_are_not_probed_where_the_weights_show_that_they_are_not_enough():
    _, designs, measured, _ = drive(World(), {"metric_drop": 0.001, "size_kb": 50})
    assert measured
    assert not [design for design in designs if design.four_bits and not (design.cut or design.low_rank)]


def test_mixtures_are_probed_first_where_much_must_go():
    for size_kb, cut_alone in ((60, True), (20, False)):
        designs = [design for design in drive(World(), {"metric_drop": 0.001, "size_kb": size_kb})[1] if design.cut]
        assert (not designs[0].four_bits and not designs[0].low_rank) == cut_alone


def test_in_a_hurry_the_first_way_that_keeps_the_limits_on_the_file_is_trained():
    _, designs, _, _ = drive(World(heals=0.9), {"metric_drop": 0.001, "size_kb": 30}, hurried=lambda: True)
    mixtures = {(bool(design.cut), bool(design.low_rank), bool(design.four_bits)) for design in designs if design.cut or design.low_rank}
    assert len(mixtures) == 1
    assert any(design.trains for design in designs)


def test_only_time_missing_never_measures_bits():
    steps, designs, measured, _ = drive(World(), {"metric_drop": 0.05, "p50_ms": 0.15})
    assert steps[-1].met
    assert not measured
    assert designs[-1].cut
    assert not any(design.four_bits for design in designs)


def test_no_training_before_all_ways_were_probed():
    _, designs, _, _ = drive(World(), {"metric_drop": 0.0101, "size_kb": 30})
    first = next(index for index, design in enumerate(designs) if design.trains)
    assert {bool(design.four_bits) for design in designs[:first]} == {True, False}
    assert all(not design.trains for design in designs[:first])
    assert max(design.recovery for design in designs[:first]) == 0


def test_trainings_are_spent_on_fewer_and_fewer_ways():
    steps, designs, _, _ = drive(World(heals=0.95), {"metric_drop": 0.001, "size_kb": 30})
    assert not steps[-1].met
    for recovery, most in zip((1, 2, 3), SURVIVORS, strict=False):
        ways = {(bool(d.cut), bool(d.low_rank), bool(d.four_bits)) for d in designs[:-BACK_OFFS] if d.recovery == recovery}
        assert len(ways) <= most


def test_what_cannot_be_kept_names_what_must_give():
    steps, _, _, goal = drive(World(heals=0.9), {"metric_drop": 0.002, "size_kb": 30})
    assert len(nearest(steps).missed) == 1
    ways_out = instead(steps, goal)
    assert ways_out["metric_drop"] == pytest.approx(min(step.drop for step in steps if step.hard_miss() <= 0))
    assert ways_out["size_kb"] > 30


def test_limit_on_the_file_that_no_strength_keeps_gives_the_nearest_trained():
    steps, designs, _, _ = drive(World(), {"metric_drop": 0.01, "size_kb": 3.5})
    assert not steps[-1].met
    assert designs[-1].trains
    assert nearest(steps).missed
    assert "size_kb" in nearest(steps).missed


def test_model_without_anything_to_cut_still_gets_an_answer():
    parts = Parts(channels=Cuttable(), neurons=Cuttable(), round_to=8, low_rank=False, low_bits=False, float_io=True)
    steps, designs, measured, _ = drive(World(), {"metric_drop": 0.01, "size_kb": 60}, parts=parts)
    assert [design.format for design in designs] == ["float32", "int8"]
    assert nearest(steps).name == "int8"
    assert not measured


def test_model_that_int8_refuses_goes_on_as_dynamic():
    steps, designs, _, _ = drive(World(), {"metric_drop": 0.05, "size_kb": 60}, fails=lambda design: design.format == "int8")
    assert designs[2].format == "dynamic"
    assert steps[-1].met
    assert designs[-1].format == "dynamic"


def test_steps_that_fail_do_not_end_the_climb():
    steps, designs, _, _ = drive(World(), {"metric_drop": 0.05, "size_kb": 30}, fails=lambda design: design.low_rank > 0)
    assert steps[-1].met
    assert not designs[-1].low_rank


def test_integer_inputs_are_never_answered_with_float():
    parts = Parts(channels=ALL, neurons=ALL, round_to=8, low_rank=True, low_bits=True, float_io=False)
    _, designs, _, _ = drive(World(int8_loss=1.0), {"metric_drop": 0.01, "size_kb": 500}, parts=parts)
    assert {design.format for design in designs} == {"int8"}


@pytest.mark.parametrize("limits", [{"metric_drop": 0.01, "size_kb": 25}, {"metric_drop": 0.02, "p50_ms": 0.1, "size_kb": 60}])
def test_climb_repeats_itself(limits):
    assert drive(World(), limits)[1] == drive(World(), limits)[1]


def test_hard_miss_looks_at_the_file_alone():
    step = Step(0, "", "", False, 1.0, misses={"metric_drop": 3.0, "size_kb": -0.5})
    assert step.hard_miss() == pytest.approx(math.log(0.5))
    assert step.violation == 3.0
    assert Step(0, "", "", False, 1.0, reason="no").hard_miss() == math.inf
