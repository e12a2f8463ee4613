"""Budgets of structured pruning, as a recipe may write them."""

import pytest
from pydantic import ValidationError

from edgecompress.recipe.stages import PruneChannels


@pytest.mark.parametrize(("fields", "kind", "amount"), [({"macs": 0.5}, "macs", 0.5), ({"size_kb": 60}, "size_kb", 60.0)])
def test_the_budget_is_the_field_that_is_given(fields, kind, amount):
    config = PruneChannels(**fields)
    assert (config.kind, config.amount) == (kind, amount)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "budget must be exactly one of macs, parameters, size_kb, latency_ms, fraction. Received: none"),
        ({"macs": 0.5, "fraction": 0.5}, "Received: macs and fraction"),
        ({"macs": 1.5}, r"macs must be a fraction in \(0, 1\], or a count of at least 100. Received: 1.5"),
        ({"macs": 0.0}, "greater than 0"),
        ({"fraction": 1.0}, "less than 1"),
        ({"fraction": -0.1}, "greater than or equal to 0"),
        ({"macs": 0.5, "round_to": 0}, "greater than or equal to 1"),
    ],
)
def test_budgets_that_say_nothing_are_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        PruneChannels(**fields)
