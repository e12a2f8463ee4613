"""What is asked: found before TensorFlow is loaded."""

import subprocess
import sys
from itertools import pairwise

import pytest

from edgecompress.errors import EdgeCompressError
from edgecompress.recipe import check_recipe
from edgecompress.solving.design import Cuttable, Design, Parts, recipe_of
from edgecompress.solving.question import ask

GOALS = {"metric_drop": 0.01, "size_kb": 60.0}
STAGES = "\nstages:\n  - prune_weights: {sparsity: 0.5}\nexport: {format: int8, io: uint8}\ngoal: {size_kb: 100, arena_kb: 9}\n"
PARTS = Parts(Cuttable(0.9, 2), Cuttable(0.9, 1), round_to=4, low_rank=True, low_bits=True, float_io=True)


def test_limits_of_the_command_go_before_those_of_the_recipe_and_stages_play_no_part(tiny, tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(tiny.read_text().replace("benchmark: null", "") + STAGES)
    asked = ask(str(path), GOALS)
    assert (asked.recipe.goal.size_kb, asked.recipe.goal.arena_kb, asked.recipe.goal.metric_drop) == (60.0, 9.0, 0.01)
    assert asked.recipe.stages == []
    assert asked.recipe.export.io == "uint8"
    assert "prune_weights" in asked.left_out


def test_limit_on_a_host_is_benchmarked_there_with_enough_runs(tiny):
    recipe = ask(str(tiny), {"metric_drop": 0.01, "p95_ms": {"limit": 5.0, "host": "pi4", "threads": 2}}).recipe
    assert recipe.benchmark.hosts == ["local", "pi4"]
    assert recipe.benchmark.threads == [1, 2]
    assert recipe.benchmark.runs >= 200


@pytest.mark.parametrize(
    ("source", "goals", "more", "pattern"),
    [
        ("tiny", {"size_kb": 60.0}, {}, "goal must say what may be lost of the metric, such as --goal metric_drop=0.01. Received: size_kb"),
        ("tiny", {"metric_drop": 0.01}, {}, "goal must limit something of the file beside metric_drop"),
        ("tiny", {}, {}, "goal must say what may be lost"),
        ("tiny", GOALS, {"data": "photos"}, "--data: data must be absent beside a recipe"),
        ("tiny", {"size_kb": -3.0}, {}, "goal.size_kb: size_kb must be a number greater than 0"),
        ("absent.h5", GOALS, {}, "absent.h5: must be a Keras model .* Received: nothing is there"),
        ("absent.yaml", GOALS, {}, "absent.yaml"),
    ],
)
def test_what_cannot_be_asked_is_said(tiny, tmp_path, source, goals, more, pattern):
    from pathlib import Path

    path = str(tiny) if source == "tiny" else str(tmp_path / source)
    with pytest.raises(EdgeCompressError, match=pattern):
        ask(path, goals, **{name: Path(value) for name, value in more.items()})


def test_bad_limits_need_no_tensorflow(tiny):
    code = (
        "import sys\nfrom edgecompress.cli import main\n"
        f"code = main(['solve', {str(tiny)!r}, '--goal', 'size=3'])\n"
        f"code += main(['solve', {str(tiny)!r}, '--goal', 'size_kb=3'])\n"
        "sys.exit(1 if 'tensorflow' in sys.modules or 'optuna' in sys.modules else code)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 4  # both refused with 2


@pytest.mark.parametrize(
    "design",
    [
        Design("float32"), Design("float16"), Design("dynamic", cut=0.5), Design(cut=0.3), Design(cut=1.0), Design(low_rank=0.01),
        Design(cut=0.4, low_rank=0.01, recovery=3), Design(four_bits=("dense1",), finish="rounded"),
        Design(cut=0.4, four_bits=("dense1",), recovery=2, finish="aware"), Design(recovery=3, finish="aware"),
        Design(cut=0.2, finish="equalized"), Design(finish="ranges"), Design(four_bits=("dense1", "logits"), finish="aware_longer"),
    ],
)  # fmt: skip
def test_every_design_is_an_allowed_recipe(tiny, design):
    recipe = recipe_of(design, ask(str(tiny), GOALS), PARTS)
    check_recipe(recipe)
    assert design.trains == any(getattr(stage, "train", None) is not None for stage in recipe.stages)
    assert recipe.export.format == design.format


def test_trainings_of_a_longer_recovery_begin_with_those_of_a_shorter_one(tiny):
    question = ask(str(tiny), GOALS)
    stages = [recipe_of(Design(cut=0.5, recovery=recovery), question, PARTS).stages for recovery in range(4)]
    for shorter, longer in pairwise(stages):
        assert longer[: len(shorter)] == shorter
    assert [stage.epochs for stage in stages[3][-3:]] == [2, 2, 4]
    assert [stage.distill is not None for stage in stages[3][-3:]] == [False, True, True]
