"""What a model would be as a file: converted as the recipe says, weighed and timed on this machine before the line has ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from edgecompress.backend import keras
from edgecompress.benchmarking import benchmark_files
from edgecompress.data import Data
from edgecompress.errors import DeviceError
from edgecompress.export import convert
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
    """

    export: Export
    data: Data
    progress: Progress
    times: bool

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

    def race(self, *models: keras.Model) -> list[float]:
        """`latencies_ms` of models, in their order."""
        times = self.latencies_ms({str(number): self.convert(model) for number, model in enumerate(models)})
        return [times[str(number)] for number in range(len(models))]
