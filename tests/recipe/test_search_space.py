"""The `search:` block: what it spans, and what is wrong with one before anything is trained."""

import re

import pytest

import edgecompress as ec
from edgecompress.recipe import dump_recipe
from edgecompress.recipe.space import Chance, make_space

BASE = """\
name: small
data: {source: digits}
model: {source: builder, name: mlp, train: {epochs: 1}}
stages:
  - prune_neurons: {id: cut, macs: 0.5, train: {epochs: 2}}
  - factorize: {id: low, energy: 0.9}
  - cluster_weights: {id: share, clusters: 16}
  - quantize_aware: {id: qat, train: {epochs: 2}}
export: {format: int8, io: float32}
search:
"""


def load(search, base=BASE):
    return ec.load_recipe("r.yaml", text=base + "".join(f"  {line}\n" for line in search.splitlines()))


def refusal(search, base=BASE):
    with pytest.raises(ec.EdgeCompressError) as caught:
        load(search, base)
    return str(caught.value)


FULL = """\
space:
  stages.cut.macs: {low: 0.2, high: 0.9}
  stages.share.clusters: {low: 4, high: 32, log: true}
  stages.cut.layers: [[], ["dense*"]]
  export.format: [int8, dynamic]
optional: [low, qat]
order: [cut, low]
"""


def test_points_become_ordinary_recipes():
    space = make_space(load(FULL))
    assert space.orders == ("cut,low,share,qat", "low,cut,share,qat")
    assert space.whole == {"stages.share.clusters"}
    point = {
        "use.low": True, "use.qat": False, "order": "low,cut,share,qat", "stages.cut.macs": 0.25, "stages.share.clusters": 5,
        "stages.cut.layers": '["dense*"]', "export.format": "dynamic",
    }  # fmt: skip
    recipe = space.recipe_at(point)
    assert [stage.id for stage in recipe.stages] == ["low", "cut", "share"]
    assert (recipe.stages[1].macs, recipe.stages[1].layers, recipe.stages[2].clusters) == (0.25, ["dense*"], 5)
    assert (recipe.export.format, recipe.search) == ("dynamic", None)


def test_every_drawn_point_lies_in_the_space_and_skips_what_is_left_out():
    space = make_space(load(FULL))
    for seed in range(50):
        point = space.draw(Chance(seed))
        assert 0.2 <= point["stages.cut.macs"] <= 0.9
        assert isinstance(point["stages.share.clusters"], int)
    space = make_space(load("space: {stages.low.energy: [0.8, 0.9]}\noptional: [low]"))
    assert {("stages.low.energy" in point) == point["use.low"] for point in map(space.draw, map(Chance, range(20)))} == {True}


def test_any_order_keeps_the_rules_between_stages():
    orders = make_space(load("space: {}\norder: any")).orders
    assert len(orders) == 6  # of the first three; quantize_aware is last
    assert all(order.endswith(",qat") for order in orders)


def test_recipe_with_a_search_survives_being_written():
    recipe = load(FULL + "first: [{stages.cut.macs: 0.5}]\nhalving: {rungs: [0.1, 0.5], keep: 0.3}")
    assert ec.load_recipe("again.yaml", text=dump_recipe(recipe)) == recipe


def test_value_that_fits_only_with_others_is_allowed():
    load("space: {export.format: [int8, dynamic]}\noptional: [qat]")


@pytest.mark.parametrize(
    ("search", "pattern"),
    [
        ("space: {stages.cut.mcas: [0.5]}", r"r\.yaml:11: search\.space\.stages\.cut\.mcas: .*Received: 'mcas'\. Did you mean 'macs'\?$"),
        ("space: {stages.cutt.macs: [0.5]}", r"cutt must be .*Did you mean 'cut'\?$"),
        ("space: {exprot.format: [int8]}", r"Received: 'exprot'\. Did you mean 'export'\?$"),
        ("space: {stages.cut.macs: {low: 0.9, high: 0.2}}", r"low must be less than high: the range is empty\. Received: 0\.9 and 0\.2\.$"),
        ("space: {stages.cut.macs: {low: 0.5, high: 0.5}}", r"the range is empty"),
        ("space: {stages.cut.macs: []}", r"must be .*1 to 100"),
        ("space: {stages.cut.macs: {low: 0.5}}", r"range must have low and high"),
        ("space: {stages.cut.macs: {lwo: 0.5, high: 1}}", r"Received: 'lwo'\. Did you mean 'low'\?"),
        ("space: {stages.cut.macs: {low: -1.0, high: 0.5}}", r"search\.space\.stages\.cut\.macs: .*greater than 0.*Received: -1\.0"),
        ("space: {stages.share.clusters: {low: 0, high: 8}}", r"clusters must be .*at least 2.*Received: 0"),
        ("space: {stages.share.clusters: [8, many]}", r"Received: 'many'"),
        ("space: {stages.low.energy: {low: 0, high: 1, log: true}}", r"log must be left to a range above 0"),
        ("space: {export.format: [int8, dynamic]}", r"format must be int8 after quantize_aware"),
        ("space: {seed: [1, 2]}", r"field must be one that may differ between trials\. Received: 'seed'"),
        ("space: {data.validation: [0.1, 0.2]}", r"may differ between trials"),
        ("space: {}", r"space must name a field to vary"),
        ("space: {}\noptional: [loww]", r"optional must name the id of a stage .*Received: 'loww'\. Did you mean 'low'\?"),
        ("space: {}\norder: [cut, other]", r"search\.order\.1: order must name the id of a stage"),
        ("space: {}\norder: [cut]", r"order must be 2 to 5 different ids"),
        ("space: {stages.cut.macs: [0.5]}\nobjectives: [acuracy]", r"objective must be one that is measured .*Did you mean 'accuracy'\?"),
        ("space: {stages.cut.macs: [0.5]}\nobjectives: [size, size]", r"objectives must each be named once"),
        ("space: {stages.cut.macs: [0.5]}\ntrials: 0", r"trials must be a whole number at least 1"),
        ("space: {stages.cut.macs: [0.5]}\nfirst: [{stages.cut.macs: 0.7}]", r"search\.first\.0\.stages\.cut\.macs: value must lie in"),
        ("space: {stages.cut.macs: [0.5]}\nfirst: [{stages.cut.mac: 0.5}]", r"Did you mean 'stages\.cut\.macs'\?"),
        ("space: {stages.cut.macs: [0.5]}\nhalving: {rungs: [0.5, 0.2]}", r"rungs must rise"),
        ("space: {stages.share.clusters: {low: 4, high: 8, step: 0.5}}", r"step must be a whole number for this field\. Received: 0\.5"),
        ("space: {stages.share.clusters: {low: 4, high: 8}}\nfirst: [{stages.share.clusters: 4.5}]", r"value must lie in the space"),
        ("space: {stages: [1]}", r"field must be one of a stage, as in stages\.cut\.macs"),
        ("space: {export.format: [int8, auto]}", r"formats must be ones of their own\. Received: 'auto'"),
        ("space: {stages.cut.macs: [0.5], stages.0.macs: [0.6]}", r"field must be named once; stages\.cut\.macs is the same"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(search, pattern):
    assert re.search(pattern, refusal(search), re.MULTILINE), refusal(search)


def test_latency_must_be_measured():
    base = BASE.replace("export:", "benchmark: null\nexport:")
    assert "objective latency must be measured by a benchmark" in refusal("space: {stages.cut.macs: [0.5]}\nobjectives: [latency]", base)


def test_export_that_chooses_by_itself_is_none_to_search_over():
    base = BASE.replace("format: int8, io: float32", "format: auto").replace("  - quantize_aware: {id: qat, train: {epochs: 2}}\n", "")
    with pytest.raises(ec.EdgeCompressError, match=r"export\.format must be a format of its own to search"):
        make_space(load("space: {stages.cut.macs: [0.4, 0.6]}", base))
