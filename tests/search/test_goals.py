"""How far limits are missed: what a search and a solve weigh, and what people are told."""

import pytest

from edgecompress.recipe import make_recipe
from edgecompress.report.words import missed_text
from edgecompress.search.goals import violations
from edgecompress.search.outcome import Outcome

ERROR = {"loss": "mean_squared_error", "metrics": ["mean_squared_error"]}


def weighed(drop, task=None, metrics=None, num_bytes=20_000, **goal):
    model = {"source": "builder", "name": "mlp"} if task is None else {"source": "file", "path": "m.h5"}
    data = {"source": "digits"} if task is None else {"source": "npz", "path": "d.npz"}
    recipe = make_recipe({"name": "r", "data": data, "model": model, "goal": goal, **({} if task is None else {"task": task})})
    return violations(recipe, Outcome(metrics or {}, drop, num_bytes, 1, None))


def test_a_drop_is_weighed_by_its_limit():
    assert weighed(0.03, metric_drop=0.02, size_kb=16) == pytest.approx({"metric_drop": 0.5, "size_kb": 0.25})


@pytest.mark.parametrize("limit", [0.0, 0.0005])
def test_a_limit_below_a_sample_does_not_count_for_more_than_a_file_of_twice_the_size(limit):
    found = weighed(limit + 0.003, metric_drop=limit, size_kb=10)  # a sample of some 300
    assert 0 < found["metric_drop"] < found["size_kb"]


def test_drops_of_an_error_are_weighed_by_its_size():
    """A hundred times the allowed loss of a tiny error is no rounding beside a file that is a little too large."""
    small = weighed(1e-4, ERROR, {"mean_squared_error": 1.3e-4}, metric_drop=1e-6)
    assert small["metric_drop"] == pytest.approx(99)
    none = weighed(6e-6, ERROR, {"mean_squared_error": 3.06e-4}, metric_drop=0.0)  # baseline 3e-4
    assert none["metric_drop"] == pytest.approx(2)


def test_what_is_said_is_the_ratio_to_the_limit():
    misses = weighed(0.002, num_bytes=23_500, metric_drop=0.0005, size_kb=20)
    limits = {"metric_drop": 0.0005, "size_kb": 20.0}
    assert missed_text(misses, limits, 0.002) == "metric_drop by 300.0 %, size_kb by 17.5 %"
    assert missed_text({"metric_drop": 0.4, "size_kb": -0.1}, {"metric_drop": 0.0}, 0.004) == "metric_drop by 0.004"
    assert missed_text({"macs": 0.5}, {"metric_drop": 0.01, "macs": 10.0}, None) == "macs by 50.0 %"
    assert missed_text({"macs": 0.0}, {"macs": 10.0}, None) == ""
