"""What the README shows exists: commands, files, names, and its recipe is one."""

import re
from pathlib import Path

import edgecompress as ec
from edgecompress.cli.app import COMMANDS
from edgecompress.recipe.stages import TECHNIQUES

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()


BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def blocks(language):
    return [text for name, text in BLOCKS if name == language]


def test_commands_exist():
    used = set(re.findall(r"edgecompress ([a-z]+(?:-[a-z]+)*)", "\n".join(blocks("")) + " ".join(re.findall(r"`([^`\n]+)`", TEXT))))
    assert used
    assert used <= set(COMMANDS)


def test_scripts_and_linked_files_exist():
    named = set(re.findall(r"scripts/[a-z_]+(?:\.py|/)?", TEXT)) | {
        link for link in re.findall(r"\]\(([^)]+)\)", TEXT) if "://" not in link
    }
    assert len(named) >= 5
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_recipe_passes_the_check():
    (recipe,) = (block for block in blocks("yaml") if "stages:" in block)
    loaded = ec.load_recipe("README.yaml", text=recipe)
    assert [stage.technique for stage in loaded.stages] == ["prune_weights", "quantize_aware"]


def test_error_message_is_what_a_user_gets():
    (shown,) = (block for block in blocks("") if "Did you mean" in block)
    (recipe,) = (block for block in blocks("yaml") if "stages:" in block)
    try:
        ec.load_recipe("recipe.yaml", text=recipe.replace("format", "fromat"))
    except ec.EdgeCompressError as error:
        received = str(error)
    assert shown.strip() in received


def test_public_names_exist():
    names = set(re.findall(r"\bec\.([A-Za-z_]+)", "\n".join(blocks("python"))))
    assert names <= set(ec.__all__)


def test_every_technique_has_a_row():
    assert [name for name in TECHNIQUES if f"| `{name}` |" not in TEXT] == []


def test_every_recipe_has_a_row():
    assert [path for path in (ROOT / "recipes").rglob("*.yaml") if path.relative_to(ROOT).as_posix() not in TEXT] == []
