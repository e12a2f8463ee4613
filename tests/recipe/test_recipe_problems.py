"""What a user reads when a recipe does not fit the schema: file, line, key, expectation, value, near name."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecompress.errors import RecipeError
from edgecompress.recipe import load_recipe, make_recipe
from edgecompress.recipe.dump import recipe_as_written, write_yaml
from edgecompress.recipe.stages import PruneWeights

SMALL = "name: small\ndata: {source: digits}\nmodel: {source: builder, name: cnn, train: {epochs: 1}}\n"

# What is appended to the three lines of a small recipe, and the one line that comes back.
APPENDED = [
    ("exprot: {format: int8}", r"r\.yaml:4: exprot: key must be one of name, seed, .*\. Received: 'exprot'\. Did you mean 'export'\?"),
    ("seed: yes", r"r\.yaml:4: seed: seed must be a whole number at least 0 and less than 4294967296\. Received: 'yes'\."),
    ("seed: true", r"r\.yaml:4: seed: seed must be a whole number .*\. Received: True\."),
    ("seed: 1.5", r"r\.yaml:4: seed: seed must be a whole number .*\. Received: 1\.5\."),
    ("seed: -1", r"r\.yaml:4: seed: seed must be a whole number at least 0 .*\. Received: -1\."),
    ("threads: 0", r"r\.yaml:4: threads: threads must be a whole number greater than 0 and at most 1024, or null\. Received: 0\."),
    (
        "export:\n  format: int9",
        r"r\.yaml:5: export\.format: format must be one of 'auto', .*'weight_only_int2'\. Received: 'int9'\. Did you mean 'int8'\?",
    ),
    ("export: int8", r"r\.yaml:4: export: export must be a mapping\. Received: 'int8'\."),
    (
        "export: {format: float32, io: int8}",
        r"r\.yaml:4: export: io must be float32 for format float32; other types need int8\. Received: 'int8'\.",
    ),
    ("export: {only: [conv1]}", r"r\.yaml:4: export: only must be absent for format int8; it works with dynamic, int4, int2, .*'\]\."),
    (
        "export: {format: int8, block: 32}",
        r"r\.yaml:4: export: block must be absent for format int8, no kernel of which reads block-wise scales; it works with int4, "
        r"and with dynamic or int2 where layers name int4\. Received: 32\.",
    ),
    ("export: {format: float32, block: 32}", r"r\.yaml:4: export: block must be absent for format float32, .*\. Received: 32\."),
    (
        "export: {format: weight_only_int4, block: 64}",
        r"r\.yaml:4: export: block must be absent for format weight_only_int4, whose weights a DEQUANTIZE decodes, which reads no "
        r"block-wise scales; it works with int4\. Received: 64\.",
    ),
    (
        "export: {format: dynamic, block: 32, layers: {a: int2}}",
        r"r\.yaml:4: export: layers must name int4 for some layer beside block in format dynamic: only 4-bit weights have .*"
        r"Received: \{'a': 'int2'\}\.",
    ),
    ("export: {format: int4, block: 48}", r"r\.yaml:4: export\.block: block must be one of 32, 64, 128, 256, or null\. Received: 48\."),
    (
        "task: {metrics: []}",
        r"r\.yaml:4: task\.metrics: metrics must be a list of at least 1 \(values among 'accuracy', .*\)\. Received: \[\]\.",
    ),
    (
        "task: {metrics: [accuracy, acuracy]}",
        r"r\.yaml:4: task\.metrics: metrics must be among 'accuracy', .* or be named in own_metrics\. Received: 'acuracy'\. "
        r"Did you mean 'accuracy'\?",
    ),
    ("task: {from_logits: on}", r"r\.yaml:4: task\.from_logits: from_logits must be true or false\. Received: 'on'\."),
    ("task: {metrics: [auc]}", r"r\.yaml:4: task: metrics of a classification task must be among .*\. Received: auc\."),
    ("stages: {}", r"r\.yaml:4: stages: stages must be a list of 0 to 100 .*\. Received: \{\}\."),
    (
        "stages:\n  - prune_wieghts: {}",
        r"r\.yaml:5: stages\.0: technique must be one of .*\. Received: 'prune_wieghts'\. Did you mean 'prune_weights'\?",
    ),
    ("stages: [sparsify]", r"r\.yaml:4: stages\.0: technique must be one of .*\. Received: 'sparsify'\."),
    (
        "stages:\n  - train:\n      epochs: 1\n      epoks: 2",
        r"r\.yaml:7: stages\.0\.epoks: key must be one of id, epochs, .*\. Did you mean 'epochs'\?",
    ),
    (
        "stages: [train]",
        r"r\.yaml:4: stages\.0\.epochs: epochs must be given: a whole number at least 1 and at most 100000\. Received: nothing\.",
    ),
    (
        "stages:\n  - train: {epochs: 1}\n  - prune_weights:\n    sparsity: 3",
        r"r\.yaml:6: stages\.1: stage must have one key, .* indented under it\. Received: \['prune_weights', 'sparsity'\]\.",
    ),
    ("stages: [5]", r"r\.yaml:4: stages\.0: stage must be a technique's name, or a mapping of its name to its fields\. Received: 5\."),
    ("stages: [{}]", r"r\.yaml:4: stages\.0: stage must have one key, .*\. Received: \[\]\."),
    ("stages: [{train: 5}]", r"r\.yaml:4: stages\.0: fields of train must be a mapping without the key technique\. Received: 5\."),
    (
        "stages: [{train: {technique: train, epochs: 1}}]",
        r"r\.yaml:4: stages\.0: fields of train must be a mapping without the key technique\. .*",
    ),
    (
        "stages:\n  - prune_weights: {sparsity: 1.0}",
        r"r\.yaml:5: stages\.0\.sparsity: sparsity must be a number at least 0 and less than 1\. Received: 1\.0\.",
    ),
    (
        "stages:\n  - prune_weights: {id: 3d, sparsity: 0.1}",
        r"r\.yaml:5: stages\.0\.id: id must be letters, digits and '_', .*\. Received: '3d'\.",
    ),
    (
        "stages: [{prune_weights: {sparsity: 0.1, initial_sparsity: 0.5, train: {epochs: 2}}}]",
        r"r\.yaml:4: stages\.0: initial_sparsity must be at most sparsity \(0\.1\)\. .*",
    ),
    ("stages: [{prune_weights: {sparsity: 0.5, end: 9, train: {epochs: 2}}}]", r"r\.yaml:4: stages\.0: .*begin < end <= train\.epochs.*"),
    (
        "stages: [{prune_weights: {sparsity: 0.5, end: 2}}]",
        r"r\.yaml:4: stages\.0: train must be given with begin, end or initial_sparsity\. Received: nothing\.",
    ),
    (
        "benchmark: {threads: [1, 0]}",
        r"r\.yaml:4: benchmark\.threads\.1: item must be a whole number greater than 0 and at most 1024\. Received: 0\.",
    ),
    ("benchmark: {runs: 3}", r"r\.yaml:4: benchmark\.runs: runs must be a whole number at least 50 .*\. Received: 3\."),
    ("goal: {size_kb: .inf}", r"r\.yaml:4: goal\.size_kb: size_kb must be a number greater than 0, or null\. Received: '\.inf'\."),
    ("goal: {size_kb: 1e999}", r"r\.yaml:4: goal\.size_kb: size_kb must be a number greater than 0, or null\. Received: inf\."),
    ("goal: {p50_ms: -1}", r"r\.yaml:4: goal\.p50_ms\.limit: limit must be a number greater than 0\. Received: -1\."),
    (
        "goal: {p50_ms: {limit: 1, thread: 2}}",
        r"r\.yaml:4: goal\.p50_ms\.thread: key must be one of limit, host, threads\. .* Did you mean 'threads'\?",
    ),
    (
        "target: {runtime: tflite}",
        r"r\.yaml:4: target\.runtime: runtime must be ai-edge-litert, tflite-runtime or tensorflow, then == and a version, or null\. .*",
    ),
]


@pytest.mark.parametrize(("text", "pattern"), APPENDED)
def test_a_bad_value_is_named_with_its_line(small, refusal, text, pattern):
    assert re.fullmatch(pattern, refusal(small + text))


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (
            ("{source: digits}", "{source: minst, path: x}"),
            r"r\.yaml:2: data\.source: source must be one of .*\. Received: 'minst'\. Did you mean 'mnist'\?",
        ),
        (("{source: digits}", "{}"), r"r\.yaml:2: data\.source: source must be given: one of 'digits', .*\. Received: nothing\."),
        (("{source: digits}", "{source: mnist}"), r"r\.yaml:2: data: path must be given for source mnist\. Received: nothing\."),
        (
            ("{source: digits}", "{source: digits, group_by: g}"),
            r"r\.yaml:2: data: group_by must be absent for source digits; it works with npz, .*\. Received: 'g'\.",
        ),
        (
            ("{source: digits}", "{source: npz, path: x, inputs: {a: {}, b: {scael: 1}}}"),
            r"r\.yaml:2: data\.inputs\.b\.scael: key must be one of .*\. Did you mean 'scale'\?",
        ),
        (
            ("{source: digits}", "{source: npz, path: x, inputs: {a: {scale: much}}}"),
            r"r\.yaml:2: data\.inputs\.a\.scale: scale must be a number, or a fraction such as 1/255\. Received: 'much'\.",
        ),
        (
            ("{source: digits}", "{source: npz, path: x, inputs: [a], preprocess: {scale: 2}}"),
            r"r\.yaml:2: data: preprocess must stand under each name of inputs \(a\)\. Received: one for all\.",
        ),
        (("{source: digits}", "{source: tfds}"), r"r\.yaml:2: data: name must be given for source tfds\. Received: nothing\."),
        (
            ("{source: digits}", "{source: csv, path: x, exclude: bad}"),
            r"r\.yaml:2: data: exclude must be absent for source csv; it works with npz, python, speech_commands\. Received: 'bad'\.",
        ),
        (
            ("{source: digits}", "{source: speech_commands, path: x, group_by: files}"),
            r"r\.yaml:2: data: group_by must be speaker for source speech_commands\. Received: 'files'\.",
        ),
        (
            ("{source: digits}", "{source: speech_commands, path: x, preprocess: {mfcc: {num_coefficients: 50}}}"),
            r"r\.yaml:2: data\.preprocess\.mfcc: num_coefficients must be at most num_bands \(40\)\. Received: 50\.",
        ),
        (
            ("{source: digits}", "{source: speech_commands, path: x, preprocess: {mfcc: {high_hertz: 9000}}}"),
            r"r\.yaml:2: data\.preprocess\.mfcc: low_hertz must be below high_hertz, .*\. Received: 20, 9000 and 16000\.",
        ),
        (
            ("{source: digits}", "{source: digits, augment: {shift: [0.1, 1]}}"),
            r"r\.yaml:2: data\.augment\.shift\.1: item must be a number at least 0 and less than 1\. Received: 1\.",
        ),
        (
            ("{source: digits}", "{source: digits, bach_size: 3}"),
            r"r\.yaml:2: data\.bach_size: key must be one of .*\. Did you mean 'batch_size'\?",
        ),
        (
            ("{source: digits}", "{source: digits, preprocess: {resize: [8]}}"),
            r"r\.yaml:2: data\.preprocess\.resize: resize must be a list of 2 whole numbers .*, or null\. Received: \[8\]\.",
        ),
        (
            ("{source: digits}", "{source: digits, preprocess: {scale: 1/0}}"),
            r"r\.yaml:2: data\.preprocess\.scale: scale must be a number, or a fraction such as 1/255\. Received: '1/0'\.",
        ),
        (
            ("{source: digits}", "{source: digits, preprocess: {std: [0]}}"),
            r"r\.yaml:2: data\.preprocess\.std\.0: item must be a number greater than 0, or a fraction .*\. Received: 0\.",
        ),
        (
            ("source: builder", "source: bilder"),
            r"r\.yaml:3: model\.source: source must be one of .*builder, .*python\. Received: 'bilder'\. Did you mean 'builder'\?",
        ),
        (
            ("source: builder, ", ""),
            r"r\.yaml:3: model\.source: source must be given: one of .*builder, .*python\. Received: nothing\.",
        ),
        (
            ("{source: builder, name: cnn, train: {epochs: 1}}", "cnn.h5"),
            r"r\.yaml:3: model: model must be a mapping\. Received: 'cnn\.h5'\.",
        ),
        (("name: cnn", "name: cnnn"), r"r\.yaml:3: model\.name: name must be one of 'cnn', .*\. Received: 'cnnn'\. Did you mean 'cnn'\?"),
        (
            ("name: cnn, train: {epochs: 1}", "name: cnn, train: {epochs: 1, learning_rate: fast}"),
            r"r\.yaml:3: model\.train\.learning_rate: learning_rate must be a number greater than 0\. Received: 'fast'\.",
        ),
        (("name: small", "name: ../up"), r"r\.yaml:1: name: name must be at most 100 letters, digits, .*\. Received: '\.\./up'\."),
        (("name: small\n", ""), r"r\.yaml:1: name: name must be given: .*\. Received: nothing\."),
    ],
)
def test_a_bad_head_of_a_recipe_is_named_with_its_line(small, refusal, change, pattern):
    assert change[0] in small
    assert re.fullmatch(pattern, refusal(small.replace(*change)))


def paths_of(value, path=()):
    """Every path of nested mappings and lists, outer ones first."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield from paths_of(child, (*path, key))


def replaced(value, path, new):
    """A copy with `new` at `path`."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


STAGES = [{"prune_weights": {"sparsity": 0.5, "train": {"epochs": 2}}}, {"train": {"epochs": 1}}, "cluster_weights"]
WHOLE = recipe_as_written(load_recipe("r.yaml", {"stages": STAGES, "goal.p95_ms": 2}, text=SMALL))
PATHS = [path for path in paths_of(WHOLE) if path]
SCALARS = st.sampled_from([None, True, 0, -1, 10**400, 1.5, 1e300, "", "x", "1/0", "re:(", "int8", "2024-01-01"])
KEYS = st.sampled_from(["train", "limit", "x", "technique"])
ODD = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2), max_leaves=4)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PATHS), ODD), min_size=1, max_size=3))
def test_any_value_anywhere_gives_a_recipe_or_a_recipe_error(changes):
    values = WHOLE
    for path, new in changes:
        if path in set(paths_of(values)):
            values = replaced(values, path, new)
    try:
        load_recipe("r.yaml", text=write_yaml(values))
    except RecipeError as error:
        assert all(line.startswith(("r.yaml:", "...")) for line in str(error).splitlines())  # noqa: PT017  some recipes stay good


def test_several_problems_come_one_per_line_in_the_order_of_the_file(small, refusal):
    message = refusal(small + "seed: x\nstages:\n  - 5\n  - prune_weights: {sparsity: 2}\n  - nonsense\nexprot: 1")
    places = [line.split(": ")[:2] for line in message.splitlines()]
    assert places == [
        ["r.yaml:4", "seed"], ["r.yaml:6", "stages.0"], ["r.yaml:7", "stages.1.sparsity"], ["r.yaml:8", "stages.2"], ["r.yaml:9", "exprot"],
    ]  # fmt: skip


def test_a_flood_of_problems_is_cut(small, refusal):
    lines = refusal(small + "\n".join(f"key{number}: 1" for number in range(50))).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "... and 30 more."


def test_messages_are_free_of_jargon(small, refusal):
    message = "\n".join(refusal(small + text) for text, _ in APPENDED)
    for word in (
        "pydantic",
        "extra_forbidden",
        "union",
        "_tag",
        "literal",
        "Input should",
        "prune_weights.sparsity",
        "builder.name",
        "\\x",
    ):
        assert word not in message


def test_a_stranger_s_recipe_runs_no_code(small, refusal, tmp_path):
    mark = tmp_path / "ran"
    text = small + f"stages: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{mark}']]"
    assert re.match(r"r\.yaml:4: stages: value must have no tag", refusal(text))
    assert not mark.exists()


def test_a_recipe_made_in_python_gets_the_same_words_without_a_place():
    values = {"name": "n", "data": {"source": "digits"}, "model": {"source": "builder", "name": "cnn"}}
    assert make_recipe({**values, "stages": [PruneWeights(sparsity=0.5)]}).stages[0].sparsity == 0.5
    with pytest.raises(RecipeError, match=r"^export\.format: format must be one of .* Did you mean 'int8'\?$"):
        make_recipe({**values, "export": {"format": "int9"}})
