"""Stages weigh and time what a run would deliver."""

from types import SimpleNamespace

import pytest

from edgecompress.errors import DeviceError
from edgecompress.export import convert, finished_file
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export
from edgecompress.rehearsal import Rehearsal
from edgecompress.shrinking import shrink_export


@pytest.mark.parametrize("shrink", [True, False])
def test_the_file_of_a_model_is_the_one_that_is_delivered(small_model, digits, shrink):
    export = Export(format="int8", shrink=shrink)
    plain = convert(small_model, export, calibration=digits.calibration.arrays()[0], progress=Progress()).content
    small = shrink_export(plain).content
    assert len(small) < len(plain)
    assert Rehearsal(export, digits, Progress(), times=False).convert(small_model) == (small if shrink else plain)


def test_the_file_is_made_for_the_runtime_of_the_target(small_model, digits):
    export, runtime = Export(format="dynamic"), "tflite-runtime==2.14.0"
    delivered = finished_file(small_model, export, calibration=None, progress=Progress(), runtime=runtime)[1].content
    rehearsals = [Rehearsal(export, digits, Progress(), times=False, runtime=given) for given in (runtime, None)]
    for_it, for_any = (rehearsal.convert(small_model) for rehearsal in rehearsals)
    assert for_it == delivered != for_any


def test_a_file_that_does_not_run_is_told_by_its_name(digits, monkeypatch):
    def timed(paths, **_):
        return [SimpleNamespace(model=name, p50_ms=None, error="it crashed") for name in paths]

    monkeypatch.setattr("edgecompress.file_race.benchmark_files", timed)
    with pytest.raises(DeviceError, match=r"worst layers in float: the file must run on this machine\. Received: it crashed\."):
        Rehearsal(Export(), digits, Progress(), times=True).latencies_ms({"worst layers in float": b""})
