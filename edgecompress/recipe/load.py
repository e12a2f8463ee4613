"""The way from a file to a Recipe: YAML, `extends`, `--set`, variables, schema, rules."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from edgecompress.recipe.extends import read_recipe
from edgecompress.recipe.nodes import KeyPath, Node, to_plain
from edgecompress.recipe.overrides import apply_overrides
from edgecompress.recipe.problems import Problem, problems_of, recipe_error
from edgecompress.recipe.rules import check_recipe
from edgecompress.recipe.schema import Recipe, Section
from edgecompress.recipe.suggestions import received
from edgecompress.recipe.variables import substitute_variables

SectionType = TypeVar("SectionType", bound=Section)


def load_recipe(
    path: str | os.PathLike[str],
    overrides: Mapping[str, Any] | None = None,
    *,
    allow_env: Collection[str] = (),
    text: str | None = None,
) -> Recipe:
    """Reads, resolves and checks a recipe. Nothing in it can run code.

    Args:
        path: the file, or `builtin:NAME`; with `text`, a name for messages and the place that `extends` is relative to.
        overrides: dotted key to plain value, as `--set` takes them: {"data.batch_size": 64, "stages.cut.epochs": 1}.
        allow_env: environment variables that `${env:NAME}` may read beside those that start with EDGECOMPRESS_.
        text: the recipe itself, when it does not come from a file.

    Raises:
        RecipeError: everything that is wrong, one line each: file, line, key, expectation, value.
    """
    return resolve_recipe(read_recipe(os.fspath(path), text), overrides or {}, allow_env)


def resolve_recipe(root: Node, overrides: Mapping[str, Any], allow_env: Collection[str] = ()) -> Recipe:
    """A checked recipe from the tree of a file and all that it extends; see `load_recipe`."""
    root = apply_overrides(root, overrides)
    root = substitute_variables(root, os.environ, allow_env)
    root, problems = _with_flat_stages(root)
    return _checked(to_plain(root), problems, root)


def make_recipe(values: Mapping[str, Any]) -> Recipe:
    """A checked recipe from Python values.

    Args:
        values: the sections of a recipe; stages are Configs such as `PruneWeights(sparsity=0.6)`.

    Raises:
        RecipeError: everything that is wrong, one line each.
    """
    return _checked(values, [], None)


def make_section(kind: type[SectionType], key: str, values: Mapping[str, Any]) -> SectionType:
    """One section of a recipe by itself, such as `make_section(Export, "export", {"format": "int8"})`.

    Raises:
        RecipeError: everything that is wrong, one line each, as `make_recipe` says it.
    """
    sections: TypeAdapter[dict[str, SectionType]] = TypeAdapter(dict[str, kind])  # type: ignore[valid-type]  # a class at run time
    try:
        return sections.validate_python({key: values})[key]
    except ValidationError as error:
        raise recipe_error(problems_of(error, {key: values}), None) from error


def _checked(values: Mapping[str, Any], problems: list[Problem], root: Node | None) -> Recipe:
    """The recipe, after schema and rules; `problems` are those that were found before."""
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        known = {problem.path for problem in problems}
        problems = problems + [problem for problem in problems_of(error, values) if problem.path not in known]
    if problems:
        raise recipe_error(problems, root)
    check_recipe(recipe, root)
    if recipe.search is not None:
        from edgecompress.recipe.space_rules import check_space  # which makes recipes itself

        check_space(recipe, root)
    return recipe


def _with_flat_stages(root: Node) -> tuple[Node, list[Problem]]:
    """`- technique` and `- {technique: {field: ...}}` as the schema takes them: {technique: ..., field: ...}."""
    stages = root.value.get("stages") if isinstance(root.value, dict) else None
    if stages is None or not isinstance(stages.value, list) or not isinstance(root.value, dict):
        return root, []
    problems: list[Problem] = []
    flat = [_flat_stage(stage, ("stages", index), problems) for index, stage in enumerate(stages.value)]
    return root.with_value({**root.value, "stages": stages.with_value(flat)}), problems


def _flat_stage(stage: Node, path: KeyPath, problems: list[Problem]) -> Node:
    """One stage; what does not have the form of a stage becomes a problem."""
    value: Any = stage.value
    if isinstance(value, str):
        value = {value: stage.with_value({})}
    if not isinstance(value, dict):
        expected = "a technique's name, or a mapping of its name to its fields"
        problems.append(Problem(path, f"stage must be {expected}.{received(to_plain(stage))}"))
    elif len(value) != 1:
        expected = "one key, the technique's name, with the fields indented under it"
        problems.append(Problem(path, f"stage must have {expected}.{received(list(value))}"))
    else:
        [(technique, fields)] = value.items()
        if fields.value is None:
            fields = fields.with_value({})
        if isinstance(fields.value, dict) and "technique" not in fields.value:
            return stage.with_value({"technique": stage.with_value(technique), **fields.value})
        problems.append(Problem(path, f"fields of {technique} must be a mapping without the key technique.{received(to_plain(fields))}"))
    return stage
