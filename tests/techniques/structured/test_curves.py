"""A budget spread by measured losses: the same order within a group, a common unit between groups."""

import numpy as np
import pytest

from edgecompress.recipe.stages import PruneChannels
from edgecompress.techniques.structured.curves import scores_of_losses
from edgecompress.techniques.structured.ranking import Contender, Ranking


def test_losses_are_read_off_straight_lines_and_beyond_the_last_level():
    # 4 channels, the least first: 3, 1, 0, 2. Losses of 25, 50 and 75 % gone: 0, 0.1, 0.3; then 0.2 a quarter more.
    found = scores_of_losses(np.array([3.0, 2.0, 4.0, 1.0]), np.zeros(4, bool), (0.25, 0.5, 0.75), np.array([0, 0.1, 0.3]), 4)
    assert found[[3, 1, 0, 2]] == pytest.approx([0, 0.1, 0.3, 0.5], abs=1e-8)


def test_order_is_kept_and_channels_that_stay_stay_last():
    generator = np.random.default_rng(0)
    scores, stays = generator.random(20), generator.random(20) < 0.3
    found = scores_of_losses(scores, stays, (0.25, 0.5, 0.75), np.array([0.0, 0.0, 0.2]), 20)
    free = np.flatnonzero(~stays)
    assert np.argsort(found[free]).tolist() == np.argsort(scores[free]).tolist()
    assert np.isinf(found[stays]).all()


def test_later_steps_go_on_where_the_first_one_stopped():
    # 8 channels were measured, 4 are left: the next one to go is the fifth, at 62.5 %.
    found = scores_of_losses(np.arange(4.0), np.zeros(4, bool), (0.5, 0.75), np.array([0.1, 0.3]), 8)
    assert found[0] == pytest.approx(0.2, abs=1e-8)


def test_groups_that_lose_nothing_go_first_and_then_all_lose_the_same():
    size, levels = 100, (0.25, 0.5, 0.75)
    curves = {"robust": [0.0, 0.0, 0.1], "frail": [0.1, 0.3, 0.6]}
    contenders = [
        Contender(
            name, scores_of_losses(np.arange(100.0), np.zeros(size, bool), levels, np.array(losses), size), np.zeros(size, bool), 1, 1
        )
        for name, losses in curves.items()
    ]
    gone = {name: len(channels) for name, channels in Ranking(contenders, "global").choice(85).items()}
    lost = {name: np.interp(gone[name] / size, (0, *levels), (0, *losses)) for name, losses in curves.items()}
    assert gone["robust"] > 2 * gone["frail"]
    assert lost["robust"] == pytest.approx(lost["frail"], abs=0.005)  # one channel of the steeper curve


def test_the_same_fraction_of_each_contradicts_measured_ratios():
    with pytest.raises(ValueError, match="scope must be absent or global with ratios: sensitivity"):
        PruneChannels(macs=0.5, ratios="sensitivity", scope="layer")
