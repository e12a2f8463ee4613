"""What a model would be as a file: converted as the recipe says, weighed and timed before the line has ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from edgecompress.backend import keras
from edgecompress.benchmarking import benchmark_files
from edgecompress.data import Data
from edgecompress.errors import DeviceError
from edgecompress.export import convert
from edgecompress.latency.forecast import Forecast
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export

RUNS = 200  # timed invokes of each model


@dataclass(frozen=True)
class Rehearsal:
    """Makes and times files for a stage that must know them.

    Attributes:
        export: of the recipe.
        data: gives the calibration samples.
        progress: where bars go.
        times: False where the recipe wants no benchmark.
        forecast: predicts times where the recipe names a latency table.
    """

    export: Export
    data: Data
    progress: Progress
    times: bool
    forecast: Forecast | None = None

    @property
    def knows_times(self) -> bool:
        """Whether `expected_ms` may be asked."""
        return self.times or self.forecast is not None

    @property
    def verb(self) -> str:
        """What `expected_ms` has done."""
        return "measured" if self.forecast is None else "predicted"

    @property
    def where(self) -> str:
        """Behind a time, in words."""
        if self.forecast is None:
            return " on one thread"
        return f" on {self.forecast.table.host}, {self.forecast.threads} thread{'s' if self.forecast.threads > 1 else ''}"

    def convert(self, model: keras.Model) -> bytes:
        """The .tflite of a model.

        Raises:
            ConversionError: it does not convert.
        """
        return convert(model, self.export, calibration=self.data.calibration.arrays()[0], progress=self.progress).content

    def latencies_ms(self, files: Mapping[str, bytes]) -> dict[str, float]:
        """Median time of one invoke on one thread, of all files in turns.

        Raises:
            DeviceError: a file that does not run here.
        """
        with TemporaryDirectory(prefix="edgecompress-") as folder:
            paths = {name: Path(folder, f"{index}.tflite") for index, name in enumerate(files)}
            for name, path in paths.items():
                path.write_bytes(files[name])
            entries = benchmark_files(paths, threads=[1], runs=RUNS, progress=self.progress)
        for entry in entries:
            if entry.p50_ms is None:
                raise DeviceError(f"{entry.model}: the file of a pruned model must run on this machine. Received: {entry.error}.")
        return {entry.model: entry.p50_ms for entry in entries if entry.p50_ms is not None}

    def expected_ms(self, files: Mapping[str, bytes]) -> dict[str, float]:
        """Median time of one invoke: on the host of the latency table and with the target's threads, where the recipe names one; else
        measured here.

        Raises:
            DeviceError: a file that does not run here.
        """
        if self.forecast is None:
            return self.latencies_ms(files)
        return {name: self.forecast.predict(content).p50_ms for name, content in files.items()}

    def race(self, *models: keras.Model) -> list[float]:
        """`expected_ms` of models, in their order."""
        times = self.expected_ms({str(number): self.convert(model) for number, model in enumerate(models)})
        return [times[str(number)] for number in range(len(models))]
