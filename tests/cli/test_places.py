"""What a command writes never takes the place of what it reads, nor of a file of another kind."""

import pytest

from edgecompress.cli import main

FILES = ("m.h5", "d.npz", "a.tflite", "b.tflite", "c.json", "run/model.tflite", "run/stages/model.h5", "run/old.zip")
LOST = [
    (["convert", "m.h5", "--data", "d.npz", "-o", "d.npz"], "must not be one that the command reads"),
    (["convert", "m.h5", "--data", "d.npz", "-o", "m.h5"], "must not be one that the command reads"),
    (["convert", "m.h5", "--data", "d.npz", "-o", "../{here}/d.npz"], "must not be one that the command reads"),
    (["shrink", "a.tflite", "--inputs", "d.npz", "-o", "d.npz"], "must not be one that the command reads"),
    (["init", "m.h5", "--data", "d.npz", "-o", "m.h5", "--force"], "must not be one that the command reads"),
    (["inspect", "a.tflite", "--html", "a.tflite"], "must not be one that the command reads"),
    (["inspect", "a.tflite", "--html", "b.tflite"], r"a file that is replaced must be a .html file. Received: .tflite."),
    (["benchmark", "a.tflite", "--json", "a.tflite"], "must not be one that the command reads"),
    (["benchmark", "a.tflite", "--json", "b.tflite"], r"a file that is replaced must be a .json file. Received: .tflite."),
    (["benchmark", "run", "--json", "run/model.tflite"], r"a file that is replaced must be a .json file. Received: .tflite."),
    (["bundle", "run", "-o", "run/model.tflite"], r"a file that is replaced must be a .zip file. Received: .tflite."),
    (["bundle", "run", "-o", "run/stages/model.h5"], r"a file that is replaced must be a .zip file. Received: .h5."),
]


@pytest.fixture
def place(tmp_path, monkeypatch):
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("arguments", "words"), LOST, ids=lambda given: " ".join(given) if isinstance(given, list) else "")
def test_outputs_do_not_replace_what_must_stay(place, capsys, arguments, words):
    assert main([word.format(here=place.name) for word in arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert [(place / name).read_text() for name in FILES] == list(FILES)


def test_files_of_the_own_kind_are_replaced(place, module):
    module("bundle", run_bundle=lambda *_, **__: {}, write_bundle=lambda files, path: path.write_text("new"))
    assert main(["bundle", "run", "-o", "run/old.zip"]) == 0
    assert main(["bundle", "run", "-o", "new"]) == 0  # nothing is lost
    assert (place / "run/old.zip").read_text() == (place / "new").read_text() == "new"
    module("inspection", inspect=lambda *_, **__: {}, inspection_table=lambda found: "")
    module("report.lens", write_lens=lambda found, path: path.write_text("page"))
    (place / "page.html").touch()
    assert main(["inspect", "a.tflite", "--html", "page.html"]) == 0
    assert (place / "page.html").read_text() == "page"
