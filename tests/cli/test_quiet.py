"""`--quiet`: commands that draw bars can be told not to."""

import types

from edgecompress.cli import main
from edgecompress.progress import Progress, TerminalProgress
from edgecompress.report.schema import BenchmarkEntry


def test_quiet_draws_no_bars_wherever_there_are_some(recipe, module, monkeypatch, capsys):
    seen = []

    def called(answer):
        return lambda *_, progress, **__: seen.append(type(progress)) or answer

    found = types.SimpleNamespace(to_dict=dict)
    file = {"path": "m.tflite", "format": "int8", "bytes": 12345, "warnings": [], "calibration": None}
    module("one_model", convert=called(file), evaluate=called({}), evaluation_table=str)
    module("shrinking", shrink_file=called({}), shrink_table=str)
    module("benchmarking", benchmark_table=str, Measurement=types.SimpleNamespace)
    module("host_benchmark", benchmark_places=called([BenchmarkEntry(model="final", host="local", threads=1)]))
    module("debugging", debug_run=called(found))
    monkeypatch.setattr("edgecompress.store.write_atomic", lambda *_: None)
    monkeypatch.setattr("edgecompress.report.debug_page.render_debug", str)
    commands = [["convert", "m.h5"], ["evaluate", "m.h5", recipe], ["shrink", "m.tflite"], ["benchmark", "m.tflite", "--json", "-"]]
    for command in [*commands, ["debug", "run", "--json"]]:
        assert main(command) == 0
        assert main([*command, "--quiet"]) == 0
        assert seen == [TerminalProgress, Progress]
        seen.clear()
