"""Recipes that build on recipes."""

import re
import sys

import pytest

from edgecompress.errors import RecipeError
from edgecompress.recipe import builtin, extends, load_recipe
from edgecompress.recipe.extends import MAX_FILES, read_recipe
from edgecompress.recipe.nodes import nearest, to_plain


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a file; its path is short: what a message shows of a long one is cut."""
    monkeypatch.chdir(tmp_path)

    def write_file(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
        return name

    return write_file


def refusal(path):
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    return str(caught.value)


def test_mappings_merge_deeply_lists_and_scalars_replace(write):
    write("base.yaml", "a: {x: 1, y: {p: 1, q: 2}}\nlist: [1, 2]\nkeep: base\nscalar: 1")
    path = write("top.yaml", "extends: base.yaml\na: {y: {q: 3}, z: 4}\nlist: [9]\nscalar: {now: a mapping}")
    assert to_plain(read_recipe(path)) == {
        "a": {"x": 1, "y": {"p": 1, "q": 3}, "z": 4}, "list": [9], "keep": "base", "scalar": {"now": "a mapping"},
    }  # fmt: skip


def test_later_files_of_a_list_win_and_paths_are_relative_to_the_file_that_names_them(write):
    write("sub/deep/first.yaml", "a: 1\nb: 1\nc: 1")
    write("sub/second.yaml", "extends: deep/first.yaml\nb: 2\nc: 2")
    write("third.yaml", "c: 3\nd: 3")
    path = write("top.yaml", "extends: [sub/second.yaml, third.yaml]\nd: 4")
    assert to_plain(read_recipe(path)) == {"a": 1, "b": 2, "c": 3, "d": 4}


def test_a_section_of_another_source_replaces_the_one_below(write):
    write("base.yaml", "data: {source: digits, batch_size: 8}\nmodel: {source: builder, name: cnn, width: 4, train: {epochs: 3}}")
    other = load_recipe(write("other.yaml", "extends: base.yaml\nname: n\nmodel: {source: file, path: m.h5}"))
    assert (other.model.path, other.model.train, other.data.batch_size) == ("m.h5", None, 8)
    same = load_recipe(write("same.yaml", "extends: base.yaml\nname: n\nmodel: {source: builder, width: 5}"))
    assert (same.model.name, same.model.width, same.model.train.epochs) == ("cnn", 5, 3)


def test_a_key_named_source_elsewhere_merges(write):
    write("base.yaml", "vars: {source: digits, width: 4}\ndata: {source: digits, unlabelled: {source: npz, path: a.npz}, limit: 9}")
    path = write("top.yaml", "extends: base.yaml\nvars: {source: mnist}\ndata: {unlabelled: {source: rest}}")
    assert to_plain(read_recipe(path)) == {
        "vars": {"source": "mnist", "width": 4}, "data": {"source": "digits", "unlabelled": {"source": "rest"}, "limit": 9},
    }  # fmt: skip


def test_places_survive_the_merge(write, tmp_path):
    base = write("base.yaml", "a:\n  x: 1\n  y: 2")
    path = write("top.yaml", "extends: base.yaml\n\na:\n  y: 3")
    root = read_recipe(path)
    assert [nearest(root, ("a", key)).place for key in "xy"] == [f"{base}:2", f"{path}:4"]


def test_an_error_names_the_file_that_holds_the_value(write):
    base = write("base.yaml", "data:\n  source: digits\n  batch_size: lots")
    path = write("top.yaml", "extends: base.yaml\nname: n\nmodel: {source: builder, name: cnn}")
    with pytest.raises(RecipeError, match=rf"^{re.escape(base)}:3: data\.batch_size: batch_size must be a whole number"):
        load_recipe(path)


def test_one_file_may_be_reached_twice(write):
    write("base.yaml", "a: 1")
    write("left.yaml", "extends: base.yaml")
    write("right.yaml", "extends: base.yaml\nb: 2")
    assert to_plain(read_recipe(write("top.yaml", "extends: [left.yaml, right.yaml]"))) == {"a": 1, "b": 2}


def test_a_circle_is_refused(write):
    write("a.yaml", "extends: b.yaml")
    path = write("b.yaml", "x: 1\nextends: a.yaml")
    assert re.search(r"a\.yaml:1: extends: files must not extend each other in a circle\. Received: '.*b\.yaml'\.$", refusal(path))


def test_a_tree_without_end_is_refused(write):
    for level in range(8):
        write(f"f{level}.yaml", f"extends: [f{level + 1}.yaml, f{level + 1}.yaml]")
    write("f8.yaml", "a: 1")
    assert f"recipe must be made of at most {MAX_FILES} files" in refusal(write("top.yaml", "extends: f0.yaml"))


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("a: 1\nextends: bsae.yaml", r"top\.yaml:2: extends: recipe must be a file that exists\. .*Did you mean '.*base\.yaml'\?$"),
        ("extends: builtin:no_such.yaml", r"top\.yaml:1: extends: recipe must be a file that exists\. Received: 'builtin:no_such\.yaml'"),
        ("extends: builtin:../setup.cfg", r"top\.yaml:1: extends: recipe must be one that comes with edgecompress"),
        ("extends: 5", r"top\.yaml:1: extends: extends must be a path, builtin:NAME or a list of these\. Received: 5\.$"),
        ("extends: [base.yaml, {a: 1}]", r"extends must be a path, builtin:NAME or a list of these\. Received: \{'a': 1\}\.$"),
        ("extends: .", r"top\.yaml:1: extends: recipe must be a file\."),
        ('extends: "a\\0b"', r"top\.yaml:1: extends: recipe must be a path without NUL characters\. Received: .*a\\x00b'\.$"),
        ("- a", r"top\.yaml:1: recipe must be a mapping with the keys name, data, model, \.\.\. Received: \['a'\]\.$"),
        ("", r"top\.yaml:1: recipe must be a mapping .* Received: None\.$"),
    ],
)
def test_what_cannot_be_extended_is_refused_with_its_line(write, text, pattern):
    write("base.yaml", "a: 1")
    assert re.search(pattern, refusal(write("top.yaml", text)))


@pytest.mark.skipif(sys.platform == "win32", reason="devices are files on Unix only")
def test_a_device_is_not_read():
    assert refusal("/dev/zero") == "/dev/zero: recipe must be a file. Received: '/dev/zero'."


def test_a_recipe_that_does_not_exist_is_refused(write, tmp_path):
    write("quickstart.yaml", "a: 1")
    message = refusal(str(tmp_path / "quikstart.yaml"))
    assert re.search(r"quikstart\.yaml: recipe must be a file that exists\. .* Did you mean '.*/quickstart\.yaml'\?$", message)


def test_builtin_recipes_lie_in_the_package_or_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(builtin, "__file__", str(tmp_path / "package" / "recipe" / "builtin.py"))
    assert builtin.builtin_folder() == tmp_path / "recipes"
    (tmp_path / "package" / "builtin_recipes").mkdir(parents=True)
    assert builtin.builtin_folder() == tmp_path / "package" / "builtin_recipes"


def test_builtin_recipes_can_be_extended(write, tmp_path, monkeypatch):
    monkeypatch.setattr(extends, "builtin_folder", lambda: tmp_path / "home")
    write("home/base/first.yaml", "a: 1\nb: 1")
    path = write("top.yaml", "extends: builtin:base/first.yaml\nb: 2")
    assert to_plain(read_recipe(path)) == {"a": 1, "b": 2}
    assert nearest(read_recipe(path), ("a",)).place == "builtin:base/first.yaml:1"
