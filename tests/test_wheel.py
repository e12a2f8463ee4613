"""The wheel: what is in it, and that its recipes are found where it is installed."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = ("pyproject.toml", "setup.cfg", "README.md", "LICENSE", "edgecompress", "recipes")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built in a copy of the sources with the setuptools that TensorFlow brings."""
    folder = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    code = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True, timeout=120)
    (path,) = (folder / "dist").glob("edgecompress-*.whl")
    return path


def names_below(folder, *patterns):
    return {path.relative_to(folder).as_posix() for pattern in patterns for path in folder.rglob(pattern)}


def test_every_module_recipe_and_template_is_in_the_wheel_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = {f"edgecompress/{name}" for name in names_below(ROOT / "edgecompress", "*.py", "py.typed", "templates/*")}
    recipes = {f"edgecompress/builtin_recipes/{name}" for name in names_below(ROOT / "recipes", "*.yaml")}
    assert names == modules | recipes


def use(python, *arguments, **options):
    """A call of the installed program, away from the sources."""
    ended = subprocess.run([python, *arguments], capture_output=True, text=True, timeout=120, **options)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def check_builtin(python, installed, folder, **options):
    assert use(python, "-c", "import edgecompress; print(edgecompress.__file__)", cwd=folder, **options).startswith(str(installed))
    assert "builtin:quickstart.yaml: fine. quickstart" in use(
        python, "-m", "edgecompress", "check", "builtin:quickstart.yaml", cwd=folder, **options
    )
    (folder / "mine.yaml").write_text("extends: builtin:quickstart.yaml\nname: mine\n")
    assert "mine.yaml: fine. mine" in use(python, "-m", "edgecompress", "check", "mine.yaml", cwd=folder, **options)


def test_builtin_recipes_are_found_in_the_unpacked_wheel(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    check_builtin(sys.executable, tmp_path / "site", tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path / "site")})


@pytest.mark.full
def test_installed_wheel_runs_its_recipes_in_a_fresh_environment(wheel, tmp_path):
    """pip installs the wheel alone; the packages that it needs are those of this environment, without its own edgecompress."""
    venv.create(tmp_path / "fresh", with_pip=False)
    python = str(tmp_path / "fresh" / "bin" / "python")
    use(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    (site,) = (tmp_path / "fresh" / "lib").glob("python*/site-packages")
    others = [path for path in sys.path if path.endswith("site-packages")] or [sysconfig.get_path("purelib")]
    (site / "others.pth").write_text("\n".join(others))  # paths in a .pth file do not have their own .pth files read
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    check_builtin(python, site, tmp_path, env=own)
    assert "Report: " in use(
        python,
        "-m",
        "edgecompress",
        "run",
        "builtin:quickstart.yaml",
        "--set",
        "benchmark=null",
        "--set",
        "goal={}",
        "--quiet",
        cwd=tmp_path,
        env=own,
    )
