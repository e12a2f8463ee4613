"""What a solve knows of earlier calls holds where they were made."""

import errno
import platform
from contextlib import nullcontext

import numpy as np
import pytest

from edgecompress.backend import keras, tf
from edgecompress.errors import DeviceError, RecipeError, StorageError
from edgecompress.models import save_model
from edgecompress.progress import Progress
from edgecompress.quiet import noise_to
from edgecompress.search.trial import Laboratory
from edgecompress.solving.clock import Clock
from edgecompress.solving.design import Design
from edgecompress.solving.journal import Journal
from edgecompress.solving.question import ask
from edgecompress.solving.workshop import Workshop


@pytest.mark.parametrize(
    ("limit", "holds_elsewhere"),
    [
        ({"size_kb": 60.0}, True),
        ({"p95_ms": {"limit": 5.0, "host": "pi4"}}, True),
        ({"p50_ms": 5.0}, False),
        ({"peak_rss_kb": 9e5}, False),
    ],
)
def test_steps_and_endings_with_times_of_one_machine_are_not_taken_on_another(tiny, tmp_path, monkeypatch, limit, holds_elsewhere):
    question = ask(str(tiny), {"metric_drop": 0.01, **limit})
    journal, clock = Journal(tmp_path / "journal.json", question), Clock(question.recipe, Progress())
    workshop = Workshop(question, tmp_path, journal, clock, Progress(), allow_code=False)
    here = workshop._key(question.recipe), question.limit_part()
    assert here == (workshop._key(question.recipe), question.limit_part())
    monkeypatch.setattr(platform, "node", lambda: "another")
    there = workshop._key(question.recipe), question.limit_part()
    assert [one == other for one, other in zip(here, there, strict=True)] == [holds_elsewhere] * 2


@pytest.fixture
def wide(tmp_path):
    """A single wide layer, which cannot be cut, with samples: 51,200 weights."""
    keras.utils.set_random_seed(0)
    save_model(keras.Sequential([keras.Input((256,)), keras.layers.Dense(200)]), tmp_path / "wide.h5")
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=generator.normal(size=(800, 256)).astype(np.float32), y=np.arange(800) % 200)
    return tmp_path / "wide.h5"


@pytest.mark.parametrize(("size_kb", "words"), [(22.0, ""), (1.0, "at least .* channels are cut that can be, with or without low rank")])
def test_limit_that_low_rank_keeps_is_not_refused(wide, tmp_path, probe_in_this_process, size_kb, words):
    overrides = {"data.preprocess.scale": 1, "task.from_logits": True, "benchmark": None}
    question = ask(str(wide), {"metric_drop": 0.02, "size_kb": size_kb}, data=tmp_path / "d.npz", overrides=overrides)
    journal, clock = Journal(tmp_path / "journal.json", question), Clock(question.recipe, Progress())
    workshop = Workshop(question, tmp_path, journal, clock, Progress(), allow_code=False)
    with pytest.raises(RecipeError, match=words) if words else nullcontext():
        assert workshop.check_limits()["size_kb"] < 22  # 4 bits alone leave 25.6 kB of weights


@pytest.fixture
def step(tiny, tmp_path, monkeypatch):
    """`step(error)`: what becomes of a step that meets it."""
    question = ask(str(tiny), {"metric_drop": 0.01, "size_kb": 60.0})
    journal, clock = Journal(tmp_path / "journal.json", question), Clock(question.recipe, Progress())
    workshop = Workshop(question, tmp_path, journal, clock, Progress(), allow_code=False)

    def take(error):
        def run_line(*_):
            raise error

        monkeypatch.setattr(Laboratory, "run_line", run_line)
        with noise_to(tmp_path / "run.log"):
            return workshop._take(question.recipe, Design())

    return take


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating a tensor"), "ResourceExhaustedError: OOM when allocating"),
        (MemoryError(), "MemoryError"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
    ],
)
def test_step_that_raises_is_one_that_cannot_run(step, tmp_path, fault, reason):
    failed = step(fault)
    assert not failed.runs
    assert failed.reason.startswith(reason)
    assert "Traceback" in (tmp_path / "run.log").read_text()


@pytest.mark.parametrize(
    "stop", [KeyboardInterrupt(), StorageError("full"), DeviceError("away"), OSError(errno.ENOSPC, "No space left on device")]
)
def test_what_no_other_step_would_change_ends_the_solve(step, stop):
    with pytest.raises(type(stop)):
        step(stop)
