"""A whole search on real digits: trials, front, chosen recipe, page; and what ends before any training."""

import json
import re
import sqlite3
from contextlib import nullcontext

import pytest
import yaml

import edgecompress as ec
from edgecompress.cli import main
from edgecompress.errors import RecipeError
from edgecompress.recipe.space import make_space
from edgecompress.search.contradictions import check_goals
from edgecompress.search.front import Candidate, dominates
from edgecompress.search.prediction import certain_limits, is_sized
from edgecompress.search.stage_cache import StageCache
from edgecompress.search.study import Heartbeat, open_study
from edgecompress.search.trial import Laboratory
from edgecompress.stage import State
from edgecompress.techniques.baseline import make_model

LIMITS = ["--set", "goal={metric_drop: 0.1, size_kb: 8}", "--set", "search.trials=5", "--set", "search.halving={rungs: [0.25], keep: 0.5}"]


@pytest.fixture(scope="module")
def searched(tmp_path_factory, space_text):
    """The folder of a finished search, and the recipe. Do not change it."""
    folder = tmp_path_factory.mktemp("searched")
    (folder / "tiny.yaml").write_text(space_text)
    first = ["--set", "search.first=[{stages.cut.macs: 0.4, use.zeros: false}, {stages.cut.macs: 0.9, use.zeros: false}]"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgecompress.export.verify.run_job", lambda job, timeout_s: None)  # its child process takes most of a trial's time
        code = main(["search", str(folder / "tiny.yaml"), "--out", str(folder / "out"), "--quiet", *LIMITS, *first])
    assert code in (0, 3)
    return folder / "out", [str(folder / "tiny.yaml"), *LIMITS, *first]


@pytest.fixture(scope="module")
def found(searched):
    return json.loads((searched[0] / "search.json").read_text())


def test_every_slot_has_ended_and_points_of_the_recipe_ran_first(found):
    assert [trial["number"] for trial in found["tried"]] == list(range(len(found["tried"])))
    assert [trial["harvested_from"] for trial in found["tried"][:5]] == [None] * 5
    assert [trial["point"] for trial in found["tried"][:2]] == [
        {"stages.cut.macs": 0.4, "use.zeros": False},
        {"stages.cut.macs": 0.9, "use.zeros": False},
    ]
    assert {trial["kind"] for trial in found["tried"]} <= {"complete", "rejected", "stopped"}
    assert found["tried"][0]["kind"] == "complete"


def test_hopeless_sizes_are_rejected_before_training(found):
    (rejected,) = [trial for trial in found["tried"][:2] if trial["kind"] == "rejected"]
    assert rejected["point"]["stages.cut.macs"] == 0.9
    assert re.search(r"predicted before training: size_kb 1\.\d\d times the limit", rejected["reason"])
    assert "01" not in {stage[0] for stage in rejected["stages"]}


def test_front_is_what_nothing_within_the_limits_dominates(found):
    within = [trial for trial in found["tried"] if trial["kind"] == "complete" and all(miss <= 0 for miss in trial["misses"].values())]
    assert within
    assert all(trial["bytes"] == trial["values"]["size"] and trial["drop"] <= 0.1 for trial in within)
    points = {trial["number"]: Candidate((-trial["values"]["accuracy"], trial["values"]["size"]), 0) for trial in within}
    best = {number for number, own in points.items() if not any(dominates(other, own) for other in points.values())}
    assert {points[number] for number in found["front"]} == {points[number] for number in best}
    most = max(within, key=lambda trial: (trial["values"]["accuracy"], -trial["values"]["size"]))
    assert points[found["chosen"]] == points[most["number"]]


def test_chosen_recipe_is_plain_and_its_run_gives_the_bytes_of_the_trial(searched, found, tmp_path, probe_in_this_process):
    chosen = next(trial for trial in found["tried"] if trial["number"] == found["chosen"])
    path = searched[0] / "chosen.yaml"
    assert "search" in yaml.safe_load(path.read_text())
    assert yaml.safe_load(path.read_text())["search"] is None
    anew = ec.run(path, out=tmp_path / "anew", quiet=True)
    lent = ec.Report.load(searched[0] / "chosen")
    with open(chosen["file"], "rb") as file:
        assert anew.tflite_path.read_bytes() == file.read()
    assert all(stage.cached for stage in lent.stages)
    assert lent.artifact.sha256 == anew.report.artifact.sha256


def test_baseline_and_equal_stages_are_computed_once(searched, found):
    records = [json.loads(path.read_text()) for path in (searched[0] / "cache").rglob("record.json")]
    stages = [record["report"]["technique"] for record in records if "report" in record]
    assert stages.count("baseline") == 1
    assert len({record["key"] for record in records}) == len(records)
    done = {tuple(stage) for trial in found["tried"] for stage in trial["stages"]}
    assert {key for _, _, key in done} <= {record["key"] for record in records}


def test_trials_bring_along_what_needs_no_training(searched, found, tmp_path, probe_in_this_process):
    from edgecompress.progress import Progress
    from edgecompress.recipe import load_recipe
    from edgecompress.recipe.space import make_space
    from edgecompress.search.stage_cache import StageCache
    from edgecompress.search.trial import Laboratory

    harvested = [trial for trial in found["tried"] if trial["harvested_from"] is not None]
    assert harvested
    assert [trial["number"] for trial in harvested] == list(range(5, len(found["tried"])))
    trial = harvested[0]
    parent = found["tried"][trial["harvested_from"]]
    assert parent["kind"] == trial["kind"] == "complete"
    assert parent["point"] == {**trial["point"], "use.zeros": True, "stages.zeros.sparsity": parent["point"]["stages.zeros.sparsity"]}
    assert trial["stages"] == parent["stages"][:-1]
    overrides = {"goal": {"metric_drop": 0.1, "size_kb": 8}}  # an ordinary trial of the point, with nothing to take from a cache
    recipe = load_recipe(searched[0].parent / "tiny.yaml", overrides)
    laboratory = Laboratory(make_space(recipe), StageCache(tmp_path / "anew"), allow_code=False)
    anew = laboratory.run(trial["point"], lambda *_: True, Progress(), in_full=True)
    assert {name: anew.outcome.objective(name) for name in trial["values"]} == trial["values"]
    with open(anew.file, "rb") as one, open(trial["file"], "rb") as other:
        assert one.read() == other.read()


def test_page_shows_every_trial_that_has_a_place(searched, found):
    page = (searched[0] / "search.html").read_text()
    number = len(found["tried"]) - 5
    assert f"5 of 5 trials, {number} harvested from them" in page
    assert f"harvested from trial {found['tried'][5]['harvested_from']}; accuracy" in page
    assert "<title>trial 0; accuracy" in page
    assert "rejected before training" in page
    assert "://" not in page  # nothing is loaded


def test_second_call_draws_nothing_and_more_trials_go_on(searched, found, capsys):
    out, arguments = searched
    before = sqlite3.connect(out / "study.db").execute("select count(*) from trials").fetchone()
    assert main(["search", *arguments, "--out", str(out), "--quiet", "--no-run", "--json"]) in (0, 3)
    assert json.loads(capsys.readouterr().out)["tried"] == found["tried"]
    assert sqlite3.connect(out / "study.db").execute("select count(*) from trials").fetchone() == before


def test_study_of_another_recipe_is_refused(searched, capsys):
    out, arguments = searched
    assert main(["search", *arguments, "--set", "stages.cut.criterion=l2", "--out", str(out), "--quiet"]) == 2
    assert re.search(r"tiny: the study must be of this recipe; .* differs in stages\.0\.criterion\.", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        (["--storage", "postgresql://nobody:secret@127.0.0.1:9/none"], r"nobody:\*\*\*@127\.0\.0\.1:9/none: storage must be .* reached"),
        (["--storage", "no url"], r"storage must be a URL such as sqlite:///"),
        (["--storage", "sqlite:////no/such/folder/study.db"], r"storage must be a database that can be reached"),
        (["--storage", "oracle://x/y"], r"storage must be of a database whose driver is installed"),
        (["--set", "goal.size_kb=1"], r"goal\.size_kb: the limit contradicts the space; it must be at least \d\.\d+"),
        (["--set", "goal={size_kb: 14, macs: 400}"], r"goal\.macs: the limit contradicts the space"),
        (["--set", "search=null"], r"search must be given to search"),
        (["--set", "search.sampler=gp"], r"gp must have torch"),
    ],
)  # fmt: skip
def test_what_cannot_succeed_ends_before_any_training(space_file, tmp_path, capsys, options, pattern):
    out = tmp_path / "out"
    assert main(["search", str(space_file), "--out", str(out), "--quiet", *options]) == 2
    assert re.search(pattern, capsys.readouterr().err)
    assert not list(out.rglob("record.json"))


def test_study_of_other_data_is_refused(space_text, tmp_path):
    recipe, url = ec.load_recipe("r.yaml", text=space_text), f"sqlite:///{tmp_path}/study.db"
    open_study(recipe, url, Heartbeat(), {"data": "one", "model": None})
    open_study(recipe, url, Heartbeat(), {"data": "one", "model": None})
    with pytest.raises(RecipeError, match=r"a study of a recipe that differs in sources\.data\."):
        open_study(recipe, url, Heartbeat(), {"data": "two", "model": None})


def test_database_that_cannot_be_written_is_said_in_one_line(space_file, tmp_path, capsys):
    recipe = ec.load_recipe(space_file)
    open_study(recipe.model_copy(update={"name": "other"}), f"sqlite:///{tmp_path}/study.db", Heartbeat())
    url = f"sqlite:///file:{tmp_path}/study.db?mode=ro&uri=true"
    assert main(["search", str(space_file), "--out", str(tmp_path / "out"), "--quiet", "--storage", url]) not in (0, 1)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "storage must be" in line]
    assert "readonly" in line


@pytest.mark.parametrize(
    ("stage", "sized"),
    [
        ("prune_neurons: {macs: 0.5}", True), ("prune_neurons: {size_kb: 5}", False), ("factorize: {energy: 0.9}", True),
        ("factorize: {rank: sensitivity}", False), ("remove_dead", False),
    ],
)  # fmt: skip
def test_sizes_are_predicted_only_where_a_plan_knows_them(stage, sized):
    text = f"name: r\ndata: {{source: digits}}\nmodel: {{source: builder, name: mlp, train: {{epochs: 1}}}}\nstages: [{stage}]\n"
    assert is_sized(ec.load_recipe("r.yaml", text=text)) is sized


@pytest.mark.parametrize(
    ("stage", "shrink", "left"),
    [
        ("prune_weights: {sparsity: 0.5}", False, (9.0, 800)), ("prune_weights: {sparsity: 0.5}", True, (None, 800)),
        ("cluster_weights: {clusters: 8}", True, (9.0, 800)),
    ],
)  # fmt: skip
def test_file_that_a_shrink_makes_smaller_than_its_network_is_not_judged_before(stage, shrink, left):
    text = f"name: r\ndata: {{source: digits}}\nmodel: {{source: builder, name: mlp, train: {{epochs: 1}}}}\nstages: [{stage}]\n"
    recipe = ec.load_recipe("r.yaml", {"export.shrink": shrink, "goal": {"size_kb": 9, "macs": 800}}, text=text)
    limits = certain_limits(recipe.goal, recipe)
    assert (limits.size_kb, limits.macs) == left


@pytest.mark.parametrize("shrink", [False, True])
def test_size_contradicts_a_space_only_where_the_file_is_as_large_as_the_network(space_text, digits, shrink):
    """Blocks as tall as a layer leave channels dead."""
    goal = {"export.shrink": shrink, "goal.size_kb": 1}
    recipe = ec.load_recipe("r.yaml", goal | {"search.optional": [], "stages.zeros.pattern": "block"}, text=space_text)
    with nullcontext() if shrink else pytest.raises(RecipeError, match=r"goal\.size_kb: the limit contradicts the space"):
        check_goals(recipe, digits, allow_code=False)
    with pytest.raises(RecipeError, match=r"goal\.macs: the limit contradicts the space"):
        check_goals(recipe.model_copy(update={"goal": recipe.goal.model_copy(update={"macs": 9, "size_kb": 99})}), digits, allow_code=False)


def test_trial_whose_file_may_be_smaller_than_its_network_is_not_rejected(space_text, digits, tmp_path):
    recipe = ec.load_recipe("r.yaml", {"goal.size_kb": 1, "export.shrink": True}, text=space_text)
    laboratory = Laboratory(make_space(recipe), StageCache(tmp_path), allow_code=False)
    baseline = State(make_model(recipe.model, recipe.task, digits, seed=0, allow_code=False), (), "key")
    cut = recipe.model_copy(update={"stages": recipe.stages[:1]})
    assert laboratory._missed_for_certain(recipe, baseline, digits) == {}
    assert set(laboratory._missed_for_certain(cut, baseline, digits)) == {"size_kb"}


def test_space_of_stages_that_find_their_size_while_they_run_is_not_refused(space_file, tmp_path, capsys, probe_in_this_process):
    """A plan of `size_kb` leaves the network as it is, which is too large."""
    space = "search.space={stages.cut.size_kb: [7, 8]}"
    arguments = [str(space_file), "--out", str(tmp_path / "out"), "--quiet", "--no-run", "--json", "--set", space]
    arguments += ["--set", "stages.cut.macs=null", "--set", "stages.cut.size_kb=8", "--set", "goal.size_kb=8.5", "--set", "search.trials=1"]
    assert main(["search", *arguments]) == 0
    assert {trial["kind"] for trial in json.loads(capsys.readouterr().out)["tried"]} == {"complete"}


def test_search_whose_trials_are_all_rejected_shows_them_and_ends_with_exit_code_3(space_file, tmp_path, capsys):
    out = tmp_path / "out"
    space = "search.space={stages.cut.macs: [0.85, 0.9], data.batch_size: [32, 64]}"  # a field of the data: goals are not checked before
    arguments = ["--set", space, "--set", "search.optional=[]", "--set", "goal.macs=600", "--set", "search.trials=2"]
    assert main(["search", str(space_file), "--out", str(out), "--quiet", *arguments]) == 3
    assert re.search(r"No trial keeps all limits, as predicted .* The nearest, trial \d, misses macs by \d+", capsys.readouterr().err)
    assert {trial["kind"] for trial in json.loads((out / "search.json").read_text())["tried"]} == {"rejected"}
    assert "rejected" in (out / "search.html").read_text()
    assert not (out / "chosen.yaml").exists()


def test_limits_that_no_trial_keeps_give_the_nearest_one_and_exit_code_3(space_file, tmp_path, capsys, probe_in_this_process):
    limits = ["--set", "goal.metric_drop=-0.5", "--set", "search.trials=1", "--set", "search.harvest=0"]
    assert main(["search", str(space_file), "--out", str(tmp_path / "out"), "--quiet", "--no-run", *limits]) == 3
    assert re.search(r"No trial keeps all limits\. The nearest, trial 0, misses metric_drop by", capsys.readouterr().err)
    assert "this one misses least: metric_drop" in (tmp_path / "out" / "chosen.yaml").read_text()
