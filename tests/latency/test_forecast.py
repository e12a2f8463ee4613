"""A recipe that names a latency table: checked before any work, and what the parts of the package make of it."""

import dataclasses
import json
import platform
import re

import numpy as np
import pytest

from edgecompress.backend import keras
from edgecompress.cli import main
from edgecompress.device.doctor import describe_machine
from edgecompress.errors import RecipeError
from edgecompress.latency import load_table, predict
from edgecompress.latency.forecast import Forecast, forecast_of
from edgecompress.latency.table import Machine
from edgecompress.layer_latency import compare_latency
from edgecompress.pipeline import prepare
from edgecompress.progress import Progress
from edgecompress.recipe import load_recipe, make_recipe
from edgecompress.recipe.schema import Export, Target
from edgecompress.recipe.stages import Factorize, PruneChannels
from edgecompress.rehearsal import Rehearsal
from edgecompress.search.prediction import is_foreseen
from edgecompress.stage_keys import _of_file
from edgecompress.store import RunFolder
from edgecompress.techniques import prune_channels

L = keras.layers
RECIPE = """\
name: tiny
threads: 1
data: {{source: digits, preprocess: {{scale: 1/16}}, batch_size: 64}}
model: {{source: builder, name: cnn, width: 16, train: {{epochs: 1}}}}
stages: [{{prune_channels: {{id: cut, {budget}, round_to: 4, criterion: l1}}}}]
export: {{format: float32}}
benchmark: null
target: {{latency_table: {table}}}
"""


@pytest.fixture
def recipe_file(tmp_path, law_table):
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.format(budget="macs: 0.5", table=law_table))
    return str(path)


@pytest.fixture
def forecast(law_table):
    return forecast_of(Target(latency_table=str(law_table)))


def test_recipe_without_a_table_predicts_nothing():
    assert forecast_of(Target()) is None


@pytest.mark.parametrize(
    ("target", "pattern"),
    [
        ("{latency_table: nowhere.json}", r"target\.latency_table: nowhere\.json: must be a latency table.* Received: nothing is there\."),
        ("{latency_table: TABLE, threads: 4}", r"threads must be one of the table's, \[1\], as target\.threads wants it\. Received: 4\."),
        ("{latency_table: RECIPE}", r"target\.latency_table: .*recipe\.yaml: must be a whole latency table in JSON"),
        ("{latency_tabel: x}", r"Did you mean 'latency_table'\?"),
    ],
)
@pytest.mark.parametrize("command", ["check", "plan", "run"])
def test_bad_tables_are_refused_by_every_command_before_any_training(
    recipe_file, law_table, tmp_path, monkeypatch, capsys, command, target, pattern
):
    monkeypatch.setattr("edgecompress.pipeline.run_baseline", lambda *_: pytest.fail("the baseline was made"))
    monkeypatch.chdir(tmp_path)
    value = target.replace("TABLE", str(law_table)).replace("RECIPE", recipe_file)
    assert main([command, recipe_file, "--set", f"target={value}"]) == 2
    assert re.search(pattern, " ".join(capsys.readouterr().err.split()))


def test_a_table_with_too_few_rows_says_to_go_on(law_table, tmp_path):
    table = load_table(law_table)
    table.rows = table.rows[:10]
    table.save(tmp_path / "short.json")
    with pytest.raises(RecipeError, match="must hold more to predict from: go on with edgecompress learn-latency"):
        forecast_of(Target(latency_table=str(tmp_path / "short.json")))


def test_a_table_that_has_changed_is_read_again(law_table, tmp_path):
    path = tmp_path / "latency.json"
    path.write_bytes(law_table.read_bytes())
    before = forecast_of(Target(latency_table=str(path)))
    assert forecast_of(Target(latency_table=str(path))).table is before.table
    table = load_table(path)
    table.rows = table.rows[:-1]
    table.save(path)
    after = forecast_of(Target(latency_table=str(path)))
    assert (len(after.table.rows), after.digest != before.digest) == (len(before.table.rows) - 1, True)


def test_plan_states_times_of_baseline_and_final_file_with_their_error(recipe_file, capsys):
    assert main(["plan", recipe_file, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["latency"]
    assert found["host"] == "local"
    assert found["final"]["p50_ms"] < found["baseline"]["p50_ms"]
    assert found["final"]["low_ms"] <= found["final"]["p50_ms"] <= found["final"]["high_ms"]
    assert 0 < found["final"]["relative_error"] < 0.2
    assert sum(one["name"] == "CONV_2D" for one in found["final"]["operators"]) == 4
    assert main(["plan", recipe_file]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert re.search(
        r"Predicted for local: the baseline p50 0\.\d+ ms in float32; the final file p50 0\.\d+ ms predicted \(.* median", text
    )
    assert main(["plan", recipe_file, "--set", "target.latency_table=null", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["latency"] is None


def small_network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = L.Conv2D(32, 3, padding="same", activation="relu", name="conv1")(inputs)
    x = L.Conv2D(32, 3, padding="same", activation="relu", name="conv2")(x)
    return keras.Model(inputs, L.Dense(10, name="logits")(L.Flatten()(x)))


@pytest.fixture
def unmeasured(monkeypatch):
    """Nothing may be timed."""
    monkeypatch.setattr("edgecompress.file_race.benchmark_files", lambda *_, **__: pytest.fail("a file was timed"))


def test_channels_go_until_the_predicted_time_is_met_and_nothing_is_measured(make_context, digits, forecast, unmeasured):
    model = small_network()
    rehearsal = Rehearsal(Export(format="float32"), digits, Progress(), times=False, forecast=forecast)
    before = forecast.predict(rehearsal.convert(model)).p50_ms
    config = PruneChannels(latency_ms=0.6 * before, criterion="l1", round_to=1)
    results = [
        prune_channels.apply(model, config, dataclasses.replace(make_context(), rehearsal=rehearsal)).model for _ in range(2)
    ]  # fmt: skip
    after = forecast.predict(rehearsal.convert(results[0])).p50_ms
    assert 0.4 * before < after <= 0.6 * before
    assert [layer.output_shape for layer in results[0].layers] == [layer.output_shape for layer in results[1].layers]


def dense_pair(units):
    """A layer of 256 x 256, and two in its place."""
    inputs = keras.Input((256,))
    one = keras.Model(inputs, L.Dense(256)(inputs))
    two = keras.Model(inputs, L.Dense(256)(L.Dense(units, use_bias=False)(inputs)))
    return one, two


@pytest.mark.parametrize(("units", "is_faster"), [(8, True), (255, False)])
def test_layers_are_judged_by_the_table_alone(digits, forecast, unmeasured, units, is_faster):
    samples = np.random.default_rng(0).normal(size=(8, 256)).astype(np.float32)
    found = [compare_latency(*dense_pair(units), "float32", samples, Progress(), forecast) for _ in range(2)]
    assert found[0] == found[1]  # a measurement would not repeat
    assert (found[0].is_faster, found[0].predicted) == (is_faster, True)
    assert found[0].describe().startswith("predicted p50 ")


def test_layer_whose_operators_the_table_lacks_is_not_judged(forecast, unmeasured):
    rows = [row for row in forecast.table.rows if not row.key.startswith("float32 FULLY")]
    poor = Forecast(forecast.table.model_copy(update={"rows": rows}), 1, "")
    samples = np.zeros((1, 256), np.float32)
    words = compare_latency(*dense_pair(8), "float32", samples, Progress(), poor)
    assert words == "it could not be timed: the latency table has no FULLY_CONNECTED of these types"


def test_stages_that_ask_for_times_depend_on_the_table(law_table):
    def key(stage, **target):
        recipe = make_recipe({"name": "r", "data": {"source": "digits"}, "model": {"source": "builder", "name": "mlp"}, "target": target})
        return _of_file(stage, recipe, "unknown")

    digest = forecast_of(Target(latency_table=str(law_table))).digest
    for stage, first in ((PruneChannels(macs=0.5), ["unknown"]), (Factorize(energy=0.9), [])):
        assert key(stage) == first
        assert key(stage, latency_table=str(law_table)) == [*first, digest, 1]
    assert key(Factorize(energy=0.9, timed_as=None), latency_table=str(law_table)) == []


SEARCH = """\
name: tiny
threads: 1
data: {{source: digits, preprocess: {{scale: 1/16}}, batch_size: 64}}
model: {{source: builder, name: mlp, width: 64, train: {{epochs: 3, learning_rate: 1e-2}}}}
stages:
  - prune_neurons: {{id: cut, macs: 0.5, round_to: 1, criterion: l1}}
export: {{format: float32, shrink: false}}
benchmark: {{runs: 50}}
target: {{latency_table: {table}}}
goal: {{p50_ms: {limit}}}
search:
  space: {{stages.cut.macs: [0.2, 0.5, 0.9]}}
  objectives: [accuracy, latency]
  trials: 3
  halving: null
  first: [{{stages.cut.macs: 0.9}}, {{stages.cut.macs: 0.5}}, {{stages.cut.macs: 0.2}}]
"""


def test_search_predicts_its_trials_and_measures_the_finalists(tmp_path, law_table, capsys, monkeypatch):
    monkeypatch.setattr("edgecompress.search.outcome.time_file", lambda path, threads, surroundings: {} if not threads else 1 / 0)
    path = tmp_path / "search.yaml"
    path.write_text(SEARCH.format(table=law_table, limit=10))
    assert main(["search", str(path), "--out", str(tmp_path / "out"), "--quiet", "--no-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    tried = {trial["point"]["stages.cut.macs"]: trial for trial in found["tried"]}
    predicted = [tried[macs]["predicted"]["1"] for macs in (0.2, 0.5, 0.9)]
    assert predicted == sorted(predicted)
    table = load_table(law_table)
    for trial in tried.values():
        with open(trial["file"], "rb") as file:
            assert trial["predicted"]["1"] == predict(file.read(), table).p50_ms
    finalists = [trial for trial in found["tried"] if trial["measured"]]
    assert {trial["number"] for trial in finalists} >= {found["chosen"]}
    assert all(trial["values"]["latency"] == trial["measured"]["1"] != trial["predicted"]["1"] for trial in finalists)
    assert all(trial["values"]["latency"] == trial["predicted"]["1"] for trial in found["tried"] if not trial["measured"])


def test_search_rejects_what_is_predicted_too_slow_before_training(tmp_path, law_table, capsys, monkeypatch):
    path = tmp_path / "search.yaml"
    path.write_text(SEARCH.format(table=law_table, limit=0.001))
    assert main(["search", str(path), "--out", str(tmp_path / "out"), "--quiet", "--no-run", "--set", "search.trials=1"]) == 3
    assert re.search(r"No trial keeps all limits, as predicted before training\. .* misses p50_ms by \d", capsys.readouterr().err)


def test_goal_with_threads_that_the_table_lacks_is_refused(tmp_path, law_table, capsys):
    path = tmp_path / "search.yaml"
    path.write_text(SEARCH.format(table=law_table, limit="{limit: 1, threads: 2}").replace("runs: 50", "runs: 50, threads: [2]"))
    assert main(["search", str(path), "--out", str(tmp_path / "out"), "--quiet"]) == 2
    assert re.search(r"goal\.p50_ms\.threads must be one of the latency table's, \[1\]\. Received: 2\.", capsys.readouterr().err)
    assert not list(tmp_path.rglob("record.json"))  # nothing was trained


def test_threads_of_which_the_table_holds_too_little_are_refused(law_table):
    table = load_table(law_table).model_copy(update={"threads": [1, 2]})
    with pytest.raises(RecipeError, match=r"goal\.p50_ms\.threads: the latency table must hold more to predict from"):
        Forecast(table, 1, "").check_threads(2, "goal.p50_ms.threads")


@pytest.mark.parametrize(("host", "is_here", "doubted"), [("local", True, False), ("local", False, True), ("pi4", False, False)])
def test_table_of_local_is_doubted_where_it_is_of_another_machine(law_table, host, is_here, doubted):
    table = load_table(law_table).model_copy(update={"host": host})
    if is_here:
        found = describe_machine()
        table.machine = Machine(**{name: found[name] for name in Machine.model_fields})
    doubt = Forecast(table, 1, "").doubt
    assert bool(doubt) is doubted
    assert not doubted or f"is of law, not of this machine: name {platform.node()} instead of law" in doubt


def test_a_table_of_another_machine_is_named_by_plan_run_and_search(recipe_file, law_table, tmp_path, capsys):
    words = "The latency table of host local is of law, not of this machine"
    assert main(["plan", recipe_file]) == 0
    assert words in " ".join(capsys.readouterr().out.split())
    with RunFolder(tmp_path / "run") as store:
        assert prepare(load_recipe(recipe_file), store, Progress(), allow_code=False).data.warnings[-1].startswith(words)
    path = tmp_path / "search.yaml"
    path.write_text(SEARCH.format(table=law_table, limit=0.001))
    main(["search", str(path), "--out", str(tmp_path / "out"), "--no-run", "--set", "search.trials=1"])
    assert f"warning: {words}" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("stage", "foreseen"),
    [
        (PruneChannels(macs=0.5), True),
        (PruneChannels(latency_ms=1.0), False),  # a plan leaves the model as it is
        (Factorize(energy=0.9), False),  # layers that would not be faster stay
    ],
)
def test_only_what_a_plan_shows_in_full_is_rejected_by_its_time(stage, foreseen):
    values = {"name": "r", "data": {"source": "digits"}, "model": {"source": "builder", "name": "mlp"}, "stages": [stage]}
    assert is_foreseen(make_recipe(values)) is foreseen
