"""${name} and ${env:NAME}."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecompress.errors import RecipeError
from edgecompress.recipe.nodes import to_plain
from edgecompress.recipe.variables import escape_references, substitute_variables
from edgecompress.recipe.yaml_reader import read_yaml

ENVIRONMENT = {"EDGECOMPRESS_DATA": "/data", "EDGECOMPRESS_EPOCHS": "3", "EDGECOMPRESS_EMPTY": "", "SECRET": "s3cret", "HOME": "/home/me"}


def resolved(text, allow_env=()):
    return to_plain(substitute_variables(read_yaml(text, "f.yaml"), ENVIRONMENT, allow_env))


def refusal(text, allow_env=()):
    with pytest.raises(RecipeError) as caught:
        resolved(text, allow_env)
    return str(caught.value)


def test_a_whole_reference_keeps_its_type_and_a_part_becomes_text():
    text = "vars: {width: 32, rate: 1e-3, flag: true, word: deep}\na: ${width}\nb: ${rate}\nc: ${flag}\nd: ${word}\n"
    text += "e: w${width}_${flag}_${rate}\nf: {g: ['${width}']}"
    assert resolved(text) == {"a": 32, "b": 0.001, "c": True, "d": "deep", "e": "w32_true_0.001", "f": {"g": [32]}}


def test_environment_is_read_with_and_without_default():
    text = "a: ${env:EDGECOMPRESS_DATA}/mnist\nb: ${env:EDGECOMPRESS_NONE:data}/mnist\nc: ${env:EDGECOMPRESS_EPOCHS}\n"
    text += "d: ${env:EDGECOMPRESS_NONE:1e-2}\ne: x${env:EDGECOMPRESS_NONE:}\nf: ${env:EDGECOMPRESS_NONE:C:/data}"
    assert resolved(text) == {"a": "/data/mnist", "b": "data/mnist", "c": 3, "d": 0.01, "e": "x", "f": "C:/data"}


def test_variables_may_use_the_environment_and_need_not_be_used():
    assert resolved("vars: {root: '${env:EDGECOMPRESS_DATA}/x', unused: 1}\na: ${root}/y") == {"a": "/data/x/y"}


def test_other_environment_variables_need_permission():
    text = "a: 1\nb: ${env:SECRET}"
    assert (
        refusal(text)
        == "f.yaml:2: b: environment variable must start with EDGECOMPRESS_ or be allowed with --allow-env SECRET. Received: 'SECRET'."
    )
    assert resolved(text, ["SECRET"]) == {"a": 1, "b": "s3cret"}


def test_a_default_does_not_open_other_variables():
    assert "must start with EDGECOMPRESS_" in refusal("a: ${env:HOME:x}")


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        (
            "vars: {width: 32}\nm:\n  w: ${widht}",
            r"^f\.yaml:3: m\.w: variable must be one of vars \(width\)\. Received: 'widht'\. Did you mean 'width'\?$",
        ),
        ("a: ${x}", r"^f\.yaml:1: a: variable must be one of vars \(none\)\. Received: 'x'\.$"),
        ("a: ${}", r"^f\.yaml:1: a: variable must be one of vars"),
        (
            "a: [b, '${env:EDGECOMPRESS_NONE}']",
            r"^f\.yaml:1: a\.1: environment variable EDGECOMPRESS_NONE must be set, or have a default: \$\{env:EDGECOMPRESS_NONE:default\}",
        ),
        ("a: ${env:}", r"^f\.yaml:1: a: reference must be \$\{env:NAME\} or \$\{env:NAME:default\}\. Received: '\$\{env:\}'\.$"),
        (
            "vars: {root: /data}\na: ${env:EDGECOMPRESS_NONE:${root}}",
            r"^f\.yaml:2: a: reference must hold no other one; a default is plain text\. Received: '\$\{env:EDGECOMPRESS_NONE:.*'\.$",
        ),
        ("a: x${b${c}", r"^f\.yaml:1: a: reference must hold no other one"),
        ("a: x${b", r"^f\.yaml:1: a: reference must end with \}\. Received: 'x\$\{b'\.$"),
        ("a: 1\nvars: {b: [1]}", r"^f\.yaml:2: vars\.b: variable must be one value\. Received: a mapping or a list\.$"),
        ("vars: [1]", r"^f\.yaml:1: vars: vars must be a mapping of names to values\. Received: \[1\]\.$"),
        ("vars: {a b: 1}", r"^f\.yaml:1: vars: name must be letters, digits and _\. Received: 'a b'\.$"),
        ("vars: {a: 1, b: '${a}'}", r"^f\.yaml:1: vars\.b: a value of vars must use \$\{env:\.\.\.\} only, not other variables"),
    ],
)
def test_bad_references_are_refused_with_their_line(text, pattern):
    assert re.search(pattern, refusal(text))


def test_references_cannot_grow_without_limit():
    text = f"vars: {{x: {'y' * 3000}}}\na: {'${x}' * 900}"
    assert refusal(text).startswith("f.yaml:2: a: text must be at most 4000 characters after variables are replaced.")


def test_values_of_variables_are_not_read_again():
    assert resolved("vars: {a: '$${b}'}\nx: ${a}\ny: '$${a}'") == {"x": "${b}", "y": "${a}"}


@settings(deadline=None)
@given(st.lists(st.sampled_from(["$", "{", "}", "a", "env:", "${", "$${"]), max_size=12).map("".join))
def test_escaped_text_reads_back_as_it_was(text):
    root = read_yaml("a: 1", "f.yaml")
    root = root.with_value({"a": root.value["a"].with_value(escape_references(text))})
    assert to_plain(substitute_variables(root, {})) == {"a": text}
