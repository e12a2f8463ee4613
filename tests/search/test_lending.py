"""A trial times no cut, a run does; yet what one of them has trained the other takes where it was lent."""

import pytest

import edgecompress as ec
from edgecompress.progress import Progress
from edgecompress.recipe.space import Space
from edgecompress.rehearsal import Rehearsal
from edgecompress.search.stage_cache import StageCache
from edgecompress.search.trial import Laboratory, trial_recipe
from edgecompress.techniques import prune_neurons

RECIPE = """\
name: lent
threads: 1
data: {source: digits, preprocess: {scale: 1/16}, batch_size: 64}
model: {source: builder, name: mlp, width: 32, train: {epochs: 1}}
stages:
  - prune_neurons: {macs: 0.5, round_to: 1, criterion: l1}
  - prune_neurons: {macs: 0.5, round_to: 1, criterion: l1}
export: {format: float32, shrink: false}
benchmark: {runs: 50}
"""


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr("edgecompress.export.verify.run_job", lambda job, timeout_s: None)
    (tmp_path / "lent.yaml").write_text(RECIPE)
    return tmp_path / "lent.yaml"


@pytest.fixture
def laboratory(path, tmp_path):
    cache = StageCache(tmp_path / "cache")
    return Laboratory(Space(ec.load_recipe(path), {}, frozenset(), (), ()), cache, allow_code=False)


def test_the_last_run_of_a_search_takes_the_cuts_of_its_trial_though_it_has_times(path, laboratory, tmp_path, monkeypatch):
    _, trial = laboratory.run_line(trial_recipe(laboratory.space.recipe), Progress())
    laboratory.cache.lend(trial.stages, tmp_path / "run")
    monkeypatch.setattr(Rehearsal, "race", lambda *_: pytest.fail("a cut was timed"))
    report = ec.run(path, out=tmp_path / "run", quiet=True).report
    assert [stage.cached for stage in report.stages] == [True] * 3
    assert report.benchmark


def test_a_line_of_an_ablation_takes_the_cuts_of_the_run(path, laboratory, tmp_path, monkeypatch):
    ec.run(path, out=tmp_path / "run", quiet=True)
    laboratory.cache.borrow(tmp_path / "run")
    monkeypatch.setattr(prune_neurons, "apply", lambda *_: pytest.fail("a cut was made again"))
    laboratory.run_line(trial_recipe(laboratory.space.recipe), Progress())


def test_a_run_with_times_cuts_anew_where_an_earlier_one_had_none(path, tmp_path):
    ec.run(path, overrides={"benchmark": None}, out=tmp_path / "run", quiet=True)
    report = ec.run(path, out=tmp_path / "run", quiet=True).report
    assert [stage.cached for stage in report.stages] == [True, False, False]
