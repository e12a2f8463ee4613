"""Recipes and techniques as text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgecompress.recipe.describe import REQUIRED, describe_technique, describe_techniques
from edgecompress.recipe.dump import write_yaml

if TYPE_CHECKING:
    from edgecompress.recipe.schema import Recipe


def recipe_table(path: str, recipe: Recipe) -> RenderableType:
    """What a recipe will do, one line per stage, with the key that `--set` takes for it."""
    table = _table("stage", "key for --set", "what the recipe sets")
    table.add_row(Text("00 baseline"), Text("model"), Text(_settings(recipe.model.model_dump(exclude_unset=True))))
    for index, stage in enumerate(recipe.stages):
        settings = stage.model_dump(exclude_unset=True, exclude={"technique", "id"})
        table.add_row(Text(f"{index + 1:02d} {stage.technique}"), Text(f"stages.{stage.id or index}"), Text(_settings(settings)))
    table.add_row(Text("export"), Text("export"), Text(_settings({"format": recipe.export.format, "io": recipe.export.io_type})))
    return Group(Text(f"{path}: fine. {recipe.name}: {recipe.data.source}, {len(recipe.stages)} stages", style="bold"), table)


def techniques_table() -> RenderableType:
    """Every technique with its first sentence."""
    table = _table("technique", "what it does")
    for technique in describe_techniques():
        table.add_row(Text(technique.name, style="bold"), Text(technique.summary))
    return Group(table, Text("More: edgecompress techniques NAME"))


def technique_view(name: str) -> RenderableType:
    """One technique in full."""
    technique = describe_technique(name)
    fields = _table("field", "must be", "default", "meaning")
    for field in technique.fields:
        default = Text(field.default, style="bold" if field.default == REQUIRED else "")
        fields.add_row(Text(field.name), Text(field.expected), default, Text(field.description))
    parts: list[RenderableType] = [Text(technique.name, style="bold"), Text(technique.summary)]
    if technique.details:
        parts.append(Text(technique.details))
    if technique.source:
        parts.append(Text(f"Source: {technique.source}", style="dim"))
    return Group(*parts, fields, Text("Example:"), Text(f"stages:\n{technique.example.rstrip()}"))


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _settings(values: dict[str, Any]) -> str:
    """`sparsity: 0.6, train: {epochs: 3}`."""
    return " ".join(write_yaml(values, flow=True).split()).removeprefix("{").removesuffix("}")
