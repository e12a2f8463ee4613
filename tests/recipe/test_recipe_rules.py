"""What must hold between the parts of a recipe."""

import re

import pytest

from edgecompress.errors import RecipeError
from edgecompress.recipe import check_recipe, load_recipe
from edgecompress.recipe.stages import TECHNIQUES, QuantizeAware, Train

QAT = "  - quantize_aware: {train: {epochs: 1}}\n"
QAT_4 = "  - quantize_aware: {bits: 4, train: {epochs: 1}}\n"
TRAIN = "  - train: {epochs: 1}\n"
PRUNE = "  - prune_weights: {sparsity: 0.5}\n"


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        (
            "stages:\n" + QAT + PRUNE,
            r"r\.yaml:6: stages\.1: stage must be train after quantize_aware \(stages\.0\)\. Received: 'prune_weights'\.",
        ),
        (
            "stages:\n" + QAT + TRAIN + QAT,
            r"r\.yaml:7: stages\.2: stage must be train after quantize_aware \(stages\.0\)\. Received: 'quantize_aware'\.",
        ),
        (
            "export: {format: int4}\nstages:\n" + QAT_4 + TRAIN,
            r"r\.yaml:7: stages\.1: stage must be absent after quantize_aware \(stages\.0\) of 4 bits, "
            r"whose weights it would move off their grid\. Received: 'train'\.",
        ),
        (
            "export: {format: int8, layers: {'re:(': int4}}",
            r"r\.yaml:4: export\.layers\.re:\(: pattern must be a valid regular expression after re: \(.*\)\. Received: 're:\('\.",
        ),
        (
            "export: {format: int2}\nstages:\n" + QAT_4,
            r"r\.yaml:4: export\.format: format must be int4 or weight_only_int4 after quantize_aware \(stages\.0\)\. Received: 'int2'\.",
        ),
        (
            "export: {format: int8}\nstages:\n" + QAT_4,
            r"r\.yaml:4: export\.layers: layers must give weights of 4 bits their type after quantize_aware \(stages\.0\), "
            r"as {pattern: int4}\. Received: {}\.",
        ),
        (
            "export: {format: int8, layers: {conv1: float32}}\nstages:\n" + QAT,
            r"r\.yaml:4: export\.layers: layers must be absent after quantize_aware \(stages\.0\) of 8 bits, which trained all of them\. "
            r"Received: {'conv1': 'float32'}\.",
        ),
        (
            "export: {format: auto, layers: {conv1: int4}}",
            r"r\.yaml:4: export: layers must be absent for format auto, which chooses them\. Received: \{'conv1': 'int4'\}\.",
        ),
        (
            "export: {ranges: mse}\nstages:\n" + QAT,
            r"r\.yaml:4: export\.ranges: ranges must be min_max after quantize_aware, whose training has settled it\. Received: 'mse'\.",
        ),
        (
            "stages:\n  - round_weights\n  - train: {epochs: 1}",
            r"r\.yaml:6: stages\.1: stage must be correct_bias after round_weights \(stages\.0\)\. Received: 'train'\.",
        ),
        (
            "export: {format: int4, block: 32}\nstages:\n" + QAT_4,
            r"r\.yaml:4: export\.block: block must be absent after quantize_aware \(stages\.0\), whose weights lie on a grid per output "
            r"channel\. Received: 32\.",
        ),
        (
            "export: {format: int4, block: 32}\nstages:\n  - round_weights",
            r"r\.yaml:4: export\.block: block must be absent after round_weights \(stages\.0\), whose weights .*\. Received: 32\.",
        ),
        (
            "export: {format: int4, block: 32}\nstages:\n  - correct_bias",
            r"r\.yaml:4: export\.block: block must be absent after correct_bias \(stages\.0\), which corrects .*\. Received: 32\.",
        ),
        (
            "export: {format: float16}\nstages:\n" + QAT,
            r"r\.yaml:4: export\.format: format must be int8 after quantize_aware \(stages\.0\)\. Received: 'float16'\.",
        ),
        (
            "stages:\n" + QAT + "export: {format: dynamic}",
            r"r\.yaml:6: export\.format: format must be int8 after quantize_aware \(stages\.0\)\. Received: 'dynamic'\.",
        ),
        (
            "stages:\n  - train: {id: a, epochs: 1}\n  - train: {id: a, epochs: 1}",
            r"r\.yaml:6: stages\.1\.id: id must be unique; stages\.0 has it too\. Received: 'a'\.",
        ),
        (
            "stages:\n  - prune_weights:\n      sparsity: 0.5\n      layers:\n        - 're:('",
            r"r\.yaml:8: stages\.0\.layers\.0: pattern must be a valid regular expression after re: \(.*\)\. Received: 're:\('\.",
        ),
        (
            "benchmark: null\ngoal:\n  p50_ms: 1",
            r"r\.yaml:6: goal\.p50_ms: p50_ms must be measured by a benchmark\. Received: benchmark null\.",
        ),
        (
            "stages:\n  - prune_channels: {latency_ms: 1}\nbenchmark: null",
            r"r\.yaml:5: stages\.0\.latency_ms: latency_ms must be measured by a benchmark, or predicted from target\.latency_table\. "
            r"Received: benchmark null\.",
        ),
        ("benchmark: null\ngoal: {peak_rss_kb: 1}", r"r\.yaml:5: goal\.peak_rss_kb: peak_rss_kb must be measured by a benchmark\. .*"),
        (
            "benchmark: {runs: 199}\ngoal: {p95_ms: 1}",
            r"r\.yaml:5: goal\.p95_ms: benchmark\.runs must be at least 200 to measure p95_ms\. Received: 199\.",
        ),
        (
            "benchmark: {threads: [1, 2]}\ngoal: {p50_ms: {limit: 1, threads: 4}}",
            r"r\.yaml:5: goal\.p50_ms\.threads: threads must be one of benchmark\.threads \[1, 2\]\. Received: 4\.",
        ),
    ],
)
def test_a_broken_rule_is_named_with_its_line(small, refusal, text, pattern):
    assert re.fullmatch(pattern, refusal(small + text))


@pytest.mark.parametrize(
    "text",
    [
        "stages:\n" + PRUNE + QAT + TRAIN + TRAIN + "export: {format: int8, io: float32}",
        "stages: []",
        "stages:\n" + PRUNE + PRUNE + "  - cluster_weights\n",
        "benchmark: {runs: 200, threads: [1, 4]}\ngoal: {p95_ms: {limit: 1, threads: 4}, p50_ms: 1, peak_rss_kb: 5000}",
        "benchmark: {runs: 50}\ngoal: {p50_ms: 1}",
    ],
)
def test_what_keeps_the_rules_loads_without_a_warning(small, text):
    assert check_recipe(load_recipe("r.yaml", text=small + text)) == []


@pytest.mark.parametrize(
    ("data", "rest", "message"),
    [
        ("{source: digits, normal: ['3']}", "", r"data\.normal: normal must be absent for target label: .*Received: \['3'\]\."),
        (
            "{source: npz, path: x, inputs: [a, b]}",
            "",
            r"data\.inputs: inputs must be absent for a model of source builder, which has one\. Received: \['a', 'b'\]\.",
        ),
        (
            "{source: npz, path: x, inputs: [a, b]}",
            "task: {loss: mean_squared_error, metrics: [mean_squared_error], target: input}\nmodel: {source: file, path: m}",
            r"data\.inputs: inputs must be absent for target input: an autoencoder has one\. Received: \['a', 'b'\]\.",
        ),
        (
            "{source: digits}",
            "task: {loss: mean_squared_error, metrics: [auc], target: input}\nmodel: {source: builder, name: autoencoder}",
            r"^r\.yaml:3: task\.metrics: data\.normal must name the classes that are no anomalies, .* metric auc .*\. Received: none\.$",
        ),
        (
            "{source: digits}",
            "model: {source: builder, name: autoencoder}",
            r"^r\.yaml:3: model\.name: name must be a builder that ends in labels; autoencoder needs task: \{loss: mean_squared_error, "
            r"metrics: \[mean_squared_error\], target: input\}\. Received: 'autoencoder'\.$",
        ),
        (
            "{source: npz, path: x}",
            "task: {loss: mean_squared_error, metrics: [mean_squared_error]}\nmodel: {source: builder, name: autoencoder}",
            r"^r\.yaml:4: model\.name: name must be a builder that ends in labels; .* Received: 'autoencoder'\.$",
        ),
        (
            "{source: digits}",
            "task: {loss: mean_squared_error, metrics: [mean_squared_error], target: input}",
            r"^r\.yaml:3: model\.name: name must be autoencoder, or mlp for features of one axis, for target input: .* Received: 'cnn'\.$",
        ),
        (
            "{source: digits}",
            "stages: [distill: {student: {source: builder, name: autoencoder}, train: {epochs: 1}}]",
            r"^r\.yaml:4: stages\.0\.student\.name: name must be a builder that ends in labels; .* Received: 'autoencoder'\.$",
        ),
        (
            "{source: digits}",
            "stages: [train: {epochs: 1, distill: {teacher: {source: builder, name: autoencoder, train: {epochs: 1}}}}]",
            r"^r\.yaml:4: stages\.0\.distill\.teacher\.name: name must be a builder that ends in labels; .* Received: 'autoencoder'\.$",
        ),
        (
            "{source: npz, path: x, inputs: [a, b], augment: {shift: 0.1}}",
            "model: {source: file, path: m}",
            r"data\.augment: augment must be absent for a model of several inputs\. Received: changes of images\.",
        ),
    ],
)
def test_data_must_fit_task_and_model(small, data, rest, message):
    text = small.replace("{source: digits}", data)
    if "model:" in rest:
        text = "\n".join(line for line in text.splitlines() if not line.startswith("model:")) + "\n"
    with pytest.raises(RecipeError, match=message):
        load_recipe("r.yaml", text=text + rest)


def test_every_broken_rule_is_told_at_once(small, refusal):
    message = refusal(small + "stages:\n" + QAT + PRUNE + "export: {format: float32}\nbenchmark: null\ngoal: {p95_ms: 1}")
    assert [line.split(": ")[1] for line in message.splitlines()] == ["stages.1", "export.format", "goal.p95_ms"]


def test_a_model_that_nothing_trains_is_a_warning(small):
    untrained = small.replace(", train: {epochs: 1}", "")
    [warning] = check_recipe(load_recipe("r.yaml", text=untrained))
    assert warning.startswith("model: nothing in this recipe trains the model, so its weights are random")
    assert check_recipe(load_recipe("r.yaml", text=untrained + "stages:\n" + TRAIN)) == []
    assert check_recipe(load_recipe("r.yaml", {"model": {"source": "file", "path": "m.h5"}}, text=small)) == []


def test_pruning_after_clustering_is_a_warning(small):
    [warning] = check_recipe(load_recipe("r.yaml", text=small + "stages:\n  - cluster_weights\n" + PRUNE))
    assert warning.startswith("stages.1: prune_weights after cluster_weights releases what cluster_weights had fixed")


def test_rules_of_techniques_name_techniques_and_formats_that_exist(small):
    formats = load_recipe("r.yaml", text=small).export.__class__.model_json_schema()["properties"]["format"]["enum"]
    for technique in TECHNIQUES.values():
        assert {*(technique.followers or ()), *technique.releases} <= set(TECHNIQUES)
    for bits in (8, 4, 2, "ternary", "binary"):
        fitting = QuantizeAware(bits=bits, train=Train(epochs=1)).formats
        assert fitting
        assert set(fitting) <= set(formats)


def test_the_table_and_the_union_of_techniques_agree(small, refusal):
    message = refusal(small + "stages: [no_such_technique]")
    assert all(name in message for name in TECHNIQUES)
    for name, technique in TECHNIQUES.items():
        assert technique.config.model_fields["technique"].default == name
