"""Which trainings several devices can share is said before anything is trained."""

import pytest

from edgecompress.errors import RecipeError
from edgecompress.recipe import check_recipe, load_recipe
from edgecompress.recipe.stages import TECHNIQUES
from edgecompress.recipe.strategy_rules import strategies

HEAD = """\
name: shared
data: {source: digits}
model: {source: builder, name: mlp, train: {epochs: 1, strategy: multi_worker}}
stages:
"""


def recipe(stages, head=HEAD):
    return load_recipe("shared.yaml", text=head + stages)


def test_baseline_and_recovery_may_be_shared():
    shared = recipe(
        "  - train: {epochs: 1, strategy: mirrored}\n"
        "  - prune_channels: {macs: 0.5, train: {epochs: 1, strategy: multi_worker}}\n"
        "  - factorize: {energy: 0.9, train: {epochs: 1, strategy: multi_worker}}\n"
    )
    assert strategies(shared) == {"mirrored", "multi_worker"}
    check_recipe(shared)


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ("  - prune_weights: {sparsity: 0.5, train: {epochs: 1, strategy: mirrored}}\n", "absent in prune_weights"),
        ("  - cluster_weights: {clusters: 16, train: {epochs: 1, strategy: mirrored}}\n", "absent in cluster_weights"),
        ("  - quantize_aware: {train: {epochs: 1, strategy: mirrored}}\n", "absent in quantize_aware"),
        ("  - distill: {train: {epochs: 1, strategy: mirrored}}\n", "absent in distill"),
        ("  - train: {epochs: 1, distill: true, strategy: mirrored}\n", "absent beside distill"),
        (
            "  - prune_channels: {macs: 0.5, sparse: {strength: 1e-4, train: {epochs: 1, strategy: mirrored}}}\n",
            r"absent in sparse.train, which trains on one device",
        ),
        (
            "  - quantize_aware: {train: {epochs: 1}}\n  - train: {epochs: 1, strategy: mirrored}\n",
            "absent after quantize_aware",
        ),
    ],
)
def test_what_lives_beside_the_model_is_refused_with_its_place(stages, words):
    with pytest.raises(RecipeError, match=rf"shared.yaml:\d+: .*strategy must be {words}.* Received: 'mirrored'"):
        recipe(stages)


def test_techniques_that_cannot_share_are_those_with_wrappers_masks_or_teachers():
    alone = {name for name, technique in TECHNIQUES.items() if not technique.shares_training}
    assert alone == {"prune_weights", "cluster_weights", "quantize_aware", "distill"}


def test_search_has_workers_of_its_own():
    with pytest.raises(RecipeError, match="must not be multi_worker in a recipe that is searched"):
        recipe("  - prune_weights: {id: zeros, sparsity: 0.5}\nsearch: {space: {stages.zeros.sparsity: [0.4, 0.6]}}\n")
