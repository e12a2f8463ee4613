"""YAML text to values: YAML 1.2 scalars, places, and everything that is refused."""

import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgecompress.errors import RecipeError
from edgecompress.recipe.dump import write_yaml
from edgecompress.recipe.nodes import nearest, to_plain
from edgecompress.recipe.yaml_reader import MAX_BYTES, MAX_DEPTH, MAX_VALUES, read_yaml

TEXT = st.text(max_size=40)
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT.filter(lambda key: key != "<<"), inner, max_size=4),
    max_leaves=15,
)


def value_of(text):
    return to_plain(read_yaml(text, "f.yaml"))


def message_of(text):
    with pytest.raises(RecipeError) as caught:
        read_yaml(text, "f.yaml")
    return str(caught.value)


@settings(max_examples=300, deadline=None)
@given(VALUES, st.sampled_from([None, True, False]))
@example(["\x85", "\u2028", "\ufeff", "a\r\n b", "\t", "x" * 300, " ", "---", "...", "%a", "a #b", "? c", "! d", "@", "`"], None)
def test_what_is_written_reads_back_equal(value, flow):
    back = value_of(write_yaml(value, flow=flow))
    assert back == value
    assert repr(back) == repr(value)  # 1 is not 1.0, True is not 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001), ("1E+2", 100.0), (".5", 0.5), ("-2.", -2.0), ("1.5e3", 1500.0), ("12", 12), ("-7", -7), ("+3", 3), ("010", 10),
        ("0o17", 15), ("0xff", 255), ("true", True), ("FALSE", False), ("null", None), ("~", None), ("", None), ("on", "on"),
        ("off", "off"), ("yes", "yes"), ("No", "No"), ("1_000", "1_000"), ("12:30:00", "12:30:00"), ("2024-01-01", "2024-01-01"),
        (".inf", ".inf"), (".nan", ".nan"), ("1e", "1e"), ("=", "="), ("'1e-3'", "1e-3"), ('"true"', "true"), ("1/255", "1/255"),
    ],
)  # fmt: skip
def test_scalars_follow_yaml_1_2(text, value):
    found = value_of(f"key: {text}")["key"]
    assert found == value
    assert type(found) is type(value)


def test_every_value_knows_the_line_of_its_key():
    root = read_yaml("a: 1\nb:\n  - x\n  - y: 2\n    z:\n\n      deep: 3\n", "f.yaml")
    places = {path: nearest(root, path).place for path in [("a",), ("b",), ("b", 0), ("b", 1, "y"), ("b", 1, "z", "deep")]}
    assert list(places.values()) == ["f.yaml:1", "f.yaml:2", "f.yaml:3", "f.yaml:4", "f.yaml:7"]


def test_an_alias_stands_for_its_anchor():
    assert value_of("a: &x {k: [1, 2]}\nb: *x\nc: [*x]") == {"a": {"k": [1, 2]}, "b": {"k": [1, 2]}, "c": [{"k": [1, 2]}]}


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("a: 1\nb: 2\na: 3", r"^f\.yaml:3: keys must be unique\. Received: 'a' in lines 1 and 3\.$"),
        ("x:\n  a: 1\n  'a': 2", r"^f\.yaml:3: x: keys must be unique\. Received: 'a' in lines 2 and 3\.$"),
        (
            "a: !!python/object/apply:os.system [ls]",
            r"^f\.yaml:1: a: value must have no tag.*Received: '.*python/object/apply:os\.system'\.$",
        ),
        ("a: !!str 5", r"^f\.yaml:1: a: value must have no tag"),
        ("a: ! 5", r"^f\.yaml:1: a: value must have no tag"),
        ("a:\n  - !include x", r"^f\.yaml:2: a\.0: value must have no tag"),
        ("!!int a: 5", r"^f\.yaml:1: key must be plain text"),
        ("[a, b]: 5", r"^f\.yaml:1: key must be plain text"),
        ("a: 1\n<<: {b: 2}", r"^f\.yaml:2: merge keys \(<<\) are not part of a recipe; use `extends`"),
        ("a: *b", r"^f\.yaml:1: a: alias must name an anchor that stands before it\. Received: \*b without an anchor\.$"),
        ("a: &b [*b]", r"^f\.yaml:1: a\.0: alias must name .* Received: \*b inside of itself\.$"),
        ("a: 1\n---\nb: 2", r"^f\.yaml:2: file must hold one YAML document"),
        ("a:\n\t- b", r"^f\.yaml:2: text must be valid YAML\. .*Indent with spaces, not tabs\.$"),
        ("a: 1\nb: {c: ${d}}", r"^f\.yaml:2: text must be valid YAML\. .* a variable stands in quotes: \"\$\{name\}\"\.$"),
        ("a: [1", r"^f\.yaml:\d: text must be valid YAML\. Received: expected ',' or ']'"),
        ("a: 1\nb: \x00", r"^f\.yaml:2: text must be printable\. Received: '\\x00'\.$"),
        ('a: 1\nb: "\\UFFFFFFFF"', r"^f\.yaml:2: an escape must name a character, at most \\U0010FFFF\. Received: a larger number\.$"),
        ('a: 1\n"\\U00110000": 2', r"^f\.yaml:2: an escape must name a character"),
        (b"a: 1\nb: \xff", r"^f\.yaml: recipe must be UTF-8 text\. Received: byte 0xff at 8\.$"),
    ],
)
def test_what_is_no_recipe_is_refused_with_its_line(text, pattern):
    assert re.search(pattern, message_of(text))


def bomb(levels):
    """A billion laughs: each line repeats the one before nine times."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    return "\n".join(lines + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)])


def chain(links):
    """Each alias hides forty levels, so the text is never deep itself."""
    deep = "[" * 40 + "{}" + "]" * 40
    return "\n".join(f"a{n}: &a{n} {deep.format(f'*a{n - 1}' if n else 'x')}" for n in range(links))


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        (bomb(20), rf"^f\.yaml:\d+: recipe must hold at most {MAX_VALUES} values, aliases written out"),
        (chain(5), rf"^f\.yaml:2: nesting must be at most {MAX_DEPTH} deep, aliases written out"),
        ("[" * 900_000, rf"^f\.yaml:1: nesting must be at most {MAX_DEPTH} deep"),
        ("- " * 400_000, rf"^f\.yaml:1: nesting must be at most {MAX_DEPTH} deep"),
        ("{a: " * 200_000, rf"^f\.yaml:1: nesting must be at most {MAX_DEPTH} deep"),
        ("- a\n" * 200_000, rf"^f\.yaml:{MAX_VALUES}: recipe must hold at most {MAX_VALUES} values"),
        ("#" * (MAX_BYTES + 1), rf"^f\.yaml: recipe must be at most {MAX_BYTES} bytes"),
        ("a: " + "x" * 900_000, r"^f\.yaml:1: a: text must be at most 4000 characters\. Received: 'x{79}\.\.\.$"),
    ],
)
def test_bombs_are_refused_at_once(text, pattern):
    started = time.process_time()
    message = message_of(text)
    assert re.search(pattern, message)
    assert time.process_time() - started < 5  # seconds; each takes under one, a busy machine may need more


def test_depth_up_to_the_limit_is_read():
    assert value_of("[" * MAX_DEPTH + "]" * MAX_DEPTH)


@settings(deadline=None)
@given(st.text(max_size=200) | st.lists(st.sampled_from(list("{}[]:,-&*!|>'\"%#?\n\t $ab1~")), max_size=60).map("".join))
def test_any_text_is_read_or_refused_with_its_file(text):
    try:
        read_yaml(text, "f.yaml")
    except RecipeError as error:
        assert str(error).startswith("f.yaml:")  # noqa: PT017  most texts are no YAML, some are
