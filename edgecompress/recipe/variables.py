"""`${name}` from `vars`, `${env:NAME}` and `${env:NAME:default}` from the environment; `$${` is a plain `${`."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping

from edgecompress.errors import RecipeError
from edgecompress.recipe.nodes import Node, Scalar, to_plain
from edgecompress.recipe.suggestions import did_you_mean, received
from edgecompress.recipe.yaml_reader import MAX_TEXT, scalar

SAFE_PREFIX = "EDGECOMPRESS_"  # variables that every recipe may read: a stranger's recipe must not see secrets
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")


def substitute_variables(root: Node, environment: Mapping[str, str], allow_env: Collection[str] = ()) -> Node:
    """The recipe without `vars` and with every reference replaced. Keys are left as they are.

    A value that is one reference and nothing else takes the variable's type; text of the environment is read like
    an unquoted YAML value there. Values of `vars` may use the environment, not each other.

    Args:
        root: the merged mapping.
        environment: name to text, such as `os.environ`.
        allow_env: names that may be read beside those that start with EDGECOMPRESS_.

    Raises:
        RecipeError: unknown variables, forbidden or unset environment variables; with file and line.
    """
    if not isinstance(root.value, dict):
        return root
    values = dict(root.value)
    lookup = _Lookup(environment, allow_env)
    lookup.variables = _variables(values.pop("vars", None), lookup)
    return _substitute(root.with_value(values), lookup, "")


def escape_references(text: str) -> str:
    """Text that reads back as `text`, whatever it holds."""
    return text.replace("${", "$${")


class _Lookup:
    """What a reference may name. `variables` is None while `vars` themselves are read."""

    def __init__(self, environment: Mapping[str, str], allow_env: Collection[str]) -> None:
        self.variables: dict[str, Scalar] | None = None
        self._environment = environment
        self._allowed = allow_env

    def value(self, reference: str, where: str) -> Scalar:
        """The value of `name`, `env:NAME` or `env:NAME:default`."""
        if "${" in reference:
            raise RecipeError(f"{where}reference must hold no other one; a default is plain text.{received('${' + reference + '}')}")
        if reference.startswith("env:"):
            return self._environment_value(reference.removeprefix("env:"), where)
        if self.variables is None:
            raise RecipeError(f"{where}a value of vars must use ${{env:...}} only, not other variables.{received('${' + reference + '}')}")
        if reference not in self.variables:
            known = ", ".join(self.variables) or "none"
            hint = did_you_mean(reference, self.variables)
            raise RecipeError(f"{where}variable must be one of vars ({known}).{received(reference)}{hint}")
        return self.variables[reference]

    def _environment_value(self, reference: str, where: str) -> str:
        name, has_default, default = reference.partition(":")
        if not _NAME.fullmatch(name):
            raise RecipeError(f"{where}reference must be ${{env:NAME}} or ${{env:NAME:default}}.{received('${env:' + reference + '}')}")
        if not name.startswith(SAFE_PREFIX) and name not in self._allowed:
            expected = f"start with {SAFE_PREFIX} or be allowed with --allow-env {name}"
            raise RecipeError(f"{where}environment variable must {expected}.{received(name)}")
        if name in self._environment:
            return self._environment[name]
        if not has_default:
            default_form = f"${{env:{name}:default}}"
            raise RecipeError(f"{where}environment variable {name} must be set, or have a default: {default_form}. Received: nothing.")
        return default


def _variables(node: Node | None, lookup: _Lookup) -> dict[str, Scalar]:
    """`vars` as plain values."""
    if node is None or node.value is None:
        return {}
    if not isinstance(node.value, dict):
        raise RecipeError(f"{node.place}: vars: vars must be a mapping of names to values.{received(to_plain(node))}")
    variables: dict[str, Scalar] = {}
    for name, child in node.value.items():
        if not _NAME.fullmatch(name):
            raise RecipeError(f"{child.place}: vars: name must be letters, digits and _.{received(name)}")
        value = _substitute(child, lookup, f"vars.{name}").value
        if isinstance(value, dict | list):
            raise RecipeError(f"{child.place}: vars.{name}: variable must be one value. Received: a mapping or a list.")
        variables[name] = value
    return variables


def _substitute(node: Node, lookup: _Lookup, path: str) -> Node:
    if isinstance(node.value, dict):
        return node.with_value({key: _substitute(child, lookup, f"{path}.{key}" if path else key) for key, child in node.value.items()})
    if isinstance(node.value, list):
        return node.with_value([_substitute(child, lookup, f"{path}.{index}") for index, child in enumerate(node.value)])
    if isinstance(node.value, str) and "${" in node.value:
        return node.with_value(_expand(node.value, lookup, f"{node.place}: {path}: "))
    return node


def _expand(text: str, lookup: _Lookup, where: str) -> Scalar:
    """One value with its references replaced."""
    whole = _REFERENCE.fullmatch(text)
    if whole is not None and whole[1] is not None:
        value = lookup.value(whole[1], where)
        return _scalar_or_text(value) if whole[1].startswith("env:") else value

    def replacement(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        if match[1] is None:
            raise RecipeError(f"{where}reference must end with }}.{received(text)}")
        value = lookup.value(match[1], where)
        return value if isinstance(value, str) else json.dumps(value)

    expanded = _REFERENCE.sub(replacement, text)
    if len(expanded) > MAX_TEXT:
        raise RecipeError(f"{where}text must be at most {MAX_TEXT} characters after variables are replaced.{received(expanded)}")
    return expanded


def _scalar_or_text(value: Scalar) -> Scalar:
    """Text of the environment as an unquoted YAML value; a number too long to read stays text."""
    try:
        return scalar(value) if isinstance(value, str) else value
    except ValueError:
        return value
