"""What to install and how, on systems whose Python takes no packages too; and an installation that was interrupted."""

import pytest

from edgecompress.device import DeviceFault, doctor, install
from edgecompress.device.__main__ import main

BARE = {
    **doctor.describe_machine(), "numpy": None, "runtime": None, "python": "3.11.2", "bits": 64, "architecture": "aarch64",
    "python_program": "python3",
}  # fmt: skip


def test_command_is_one_that_the_system_does_not_refuse():
    free, managed = (doctor.find_problems({**BARE, "takes_packages": takes})[0] for takes in (True, False))
    assert free["command"] == "python3 -m pip install ai-edge-litert numpy"
    folder = "~/.local/share/edgecompress/venv"  # where a job over SSH looks first
    assert managed["command"] == f"python3 -m venv {folder} && {folder}/bin/python3 -m pip install ai-edge-litert numpy"
    assert "start the program with its bin/python3" in managed["what"]


@pytest.mark.parametrize(("prefix", "takes"), [("/usr", False), ("/home/pi/venv", True)])
def test_marked_python_takes_packages_in_a_virtual_environment_alone(monkeypatch, tmp_path, prefix, takes):
    (tmp_path / "EXTERNALLY-MANAGED").write_text("[externally-managed]\n")  # PEP 668
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    monkeypatch.setattr("sys.prefix", prefix)
    monkeypatch.setattr("sys.base_prefix", "/usr")
    assert doctor.describe_machine()["takes_packages"] is takes


def test_missing_numpy_is_said_with_the_command(monkeypatch, capsys):
    def fail(name):
        raise ImportError("No module named 'numpy'")

    monkeypatch.setattr("edgecompress.device.__main__.describe_machine", lambda: {**BARE, "takes_packages": True})
    monkeypatch.setattr("edgecompress.device.__main__._named_models", lambda models, golden: fail("numpy"))
    assert main(["benchmark", "model.tflite"]) == 4
    assert capsys.readouterr().err.endswith("cannot be imported: python3 -m pip install ai-edge-litert numpy\n")


def test_what_something_else_lacks_is_not_laid_to_the_governor(monkeypatch, capsys):
    def fail(models, golden):
        raise ImportError("No module named 'edgecompress.device.nothing'")

    whole = {**doctor.describe_machine(), "numpy": "2.0", "runtime": "ai-edge-litert", "governor": "powersave"}
    assert doctor.find_problems(whole)
    monkeypatch.setattr("edgecompress.device.__main__.describe_machine", lambda: whole)
    monkeypatch.setattr("edgecompress.device.__main__._named_models", fail)
    assert main(["benchmark", "model.tflite"]) == 4
    assert capsys.readouterr().err == "error: No module named 'edgecompress.device.nothing'\n"


def test_boards_of_one_kind_have_ids_of_their_own_that_do_not_tell_the_number(tmp_path):
    def identity(serial=None, drawn=None):
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, text in (("proc/device-tree/serial-number", serial), ("etc/machine-id", drawn)):
            (root / name).parent.mkdir(parents=True)
            if text is not None:
                (root / name).write_text(text)
        return doctor.describe_machine(root)["id"]

    serial, drawn = "10000000abcdef01\0", "0123456789abcdef0123456789abcdef\n"
    assert identity(serial, drawn) == identity(serial, drawn.replace("0", "1", 1)) != identity(None, drawn)  # one card in two boards
    assert len({identity(serial), identity(serial.replace("f", "e")), identity(None, drawn)}) == 3
    for found, number in ((identity(serial), serial), (identity(None, drawn), drawn)):
        assert len(found) == 12
        assert found not in number
        assert number[:8] not in found
    assert [identity(), identity("0" * 16 + "\0"), identity(None, "uninitialized\n")] == [None] * 3


@pytest.fixture
def commands(monkeypatch):
    """What install would run; `commands.fault` is raised in the place of pip."""

    class Commands(list):
        fault = None

    made = Commands()

    def note(command, cure):
        made.append(command)
        if "pip" in command and made.fault is not None:
            raise made.fault

    monkeypatch.setattr(install, "_run", note)
    monkeypatch.setattr(install, "wanted_packages", lambda machine: (["numpy"], None))
    return made


def test_interrupted_installation_is_marked_and_made_again_from_nothing(commands, tmp_path):
    folder, mark = tmp_path / "edgecompress" / "venv", tmp_path / "edgecompress" / "venv.unfinished"
    commands.fault = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        install.install_runtime(print, str(folder))
    assert mark.exists()
    folder.mkdir()
    commands.fault = None
    install.install_runtime(print, str(folder))
    assert not mark.exists()
    assert "--clear" in commands[-2]
    install.install_runtime(print, str(folder))
    assert "--clear" not in commands[-2]


def test_interrupted_second_installation_leaves_a_whole_one_in_use(commands, tmp_path):
    folder = tmp_path / "venv"
    install.install_runtime(print, str(folder))
    folder.mkdir()
    commands.fault = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        install.install_runtime(print, str(folder))
    assert [path.name for path in tmp_path.iterdir()] == ["venv"]


@pytest.mark.parametrize("was_there", [True, False])
def test_installation_that_failed_leaves_what_was_whole_before(commands, tmp_path, was_there):
    folder = tmp_path / "venv"
    if was_there:
        folder.mkdir()
    commands.fault = DeviceFault("no network")
    with pytest.raises(DeviceFault, match="no network"):
        install.install_runtime(print, str(folder))
    assert [path.name for path in tmp_path.iterdir()] == (["venv"] if was_there else [])
