"""The page of a search says of its choice what is true of it."""

import pytest

from edgecompress.report.search_page import render_search


def found(limits, misses):
    trial = {
        "number": 0, "kind": "complete", "reason": "", "point": {"width": 8}, "values": {"accuracy": 0.9, "macs": 5558270.0},
        "misses": misses,
        "on_front": not any(miss > 0 for miss in misses.values()), "harvested_from": None, "seconds": 1.0, "attempts": 1, "worker": "a",
    }  # fmt: skip
    return {
        "name": "trial", "objectives": {"accuracy": True, "macs": False}, "limits": limits, "num_wanted": 1, "tried": [trial], "chosen": 0,
        "front": [0] if trial["on_front"] else [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("limits", "misses", "words"),
    [
        ({"macs": 5e6}, {"macs": 0.11}, "No trial keeps all limits; this one misses them least."),
        ({"macs": 6e6}, {"macs": -0.1}, "Of the trials within all limits the best by Accuracy, the first objective."),
        ({}, {}, "Of all trials the best by Accuracy, the first objective."),
    ],
)
def test_what_a_recipe_was_chosen_for(limits, misses, words):
    page = render_search(found(limits, misses), "name: x").replace("\u00a0", " ")
    assert words in page
    assert "e+06" not in page


def test_miss_of_the_metric_is_the_true_one_as_on_the_terminal():
    """Its miss is weighed for the choice: a limit of 0 has no fraction."""
    for limit, weighed, words in ((0.0, 0.6, "metric_drop by 0.006"), (0.002, 0.4, "metric_drop by 200.0 %")):
        values = found({"metric_drop": limit}, {"metric_drop": weighed})
        values["tried"][0]["drop"] = 0.006
        assert f">{words}<" in render_search(values, "name: x").replace("\u00a0", " ")
