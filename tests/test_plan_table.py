"""A plan as the terminal and `--json` show it."""

import pytest
from rich.console import Console

from edgecompress.graph.layers import ModelTotals
from edgecompress.plan import Plan, StagePlan, plan, plan_table
from edgecompress.recipe import make_recipe
from edgecompress.stage import LayerRecord


def printed(plan):
    console = Console(width=140, markup=False)  # as the command line has it
    with console.capture() as capture:
        console.print(plan_table(plan))
    return capture.get()


@pytest.fixture
def make_plan():
    def make(*, parameters=1000, macs=5000, macs_known=True, final_bytes=1000, layers=()):
        totals = ModelTotals(parameters, parameters // 2, macs, macs_known, 4 * parameters)
        return Plan("trial", [StagePlan(0, "baseline", totals, list(layers))], 4 * parameters, final_bytes, "int8")

    return make


def test_bytes_and_macs_of_a_plan(make_plan):
    output = printed(make_plan())
    assert "trial: weights 4,000 bytes in float32, about 1,000 in int8 (4.0 times smaller)" in output
    assert "50.0%" in output
    assert "5,000" in output


def test_unknown_macs_are_unknown_and_null(make_plan):
    plan = make_plan(macs=0, macs_known=False)
    assert "unknown" in printed(plan)
    assert plan.to_dict()["stages"][0]["totals"]["macs"] is None
    assert make_plan().to_dict()["stages"][0]["totals"]["macs"] == 5000


def test_model_without_weights_has_no_ratio(make_plan):
    output = printed(make_plan(parameters=0, macs=0, final_bytes=0))
    assert output.splitlines()[0].rstrip() == "trial: weights 0 bytes in float32, about 0 in int8"
    assert "%" not in output


def test_names_of_layers_are_shown_as_they_are(make_plan):
    record = LayerRecord("block[a]/conv", "Conv2D", "skipped", "matches [b]")
    assert "block[a]/conv (Conv2D)" in printed(make_plan(layers=[record]))


def test_groups_of_channels_stand_below_the_table():
    totals = ModelTotals(10, 10, 20, True, 40)
    groups = ["16 channels of conv1, into conv2", "10 channels of logits; all must stay: an output of the model"]
    plan = Plan("trial", [StagePlan(1, "prune_channels", totals, [], groups)], 40, 10, "int8")
    assert "Channels that stage 01 prune_channels can only cut together:\n16 channels of conv1, into conv2" in printed(plan)
    assert plan.to_dict()["stages"][0]["groups"] == groups


def test_layers_without_blocks_are_named_and_scales_of_blocks_count():
    recipe = {"name": "r", "data": {"source": "digits"}, "model": {"source": "builder", "name": "cnn"}}
    whole, blocks = (plan(make_recipe(recipe | {"export": {"format": "int4"} | more})) for more in ({}, {"block": 64}))
    assert whole.export_notes == []
    assert blocks.export_notes == [
        f"conv{number}: a scale per output channel, not per block: only Dense layers can have block-wise scales" for number in range(1, 5)
    ]
    assert blocks.export_notes[0] in printed(blocks)
    num_weights = 256 * 256 + 256 * 10  # of the two Dense layers
    assert blocks.final_weight_bytes - whole.final_weight_bytes == 2 * num_weights // 64
