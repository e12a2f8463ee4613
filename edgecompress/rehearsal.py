"""What a model would be as a file: converted and shrunk as the recipe says, weighed and timed before the line has ended."""

from collections.abc import Mapping
from dataclasses import dataclass

from edgecompress.backend import keras
from edgecompress.data import Data
from edgecompress.errors import DeviceError
from edgecompress.export import finished_file
from edgecompress.file_race import race_files
from edgecompress.latency.forecast import Forecast
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export


@dataclass(frozen=True)
class Rehearsal:
    """Makes and times files for a stage that must know them.

    Attributes:
        export: of the recipe.
        data: gives the calibration samples.
        progress: where bars go.
        times: False where the recipe wants no benchmark.
        forecast: predicts times where the recipe names a latency table.
        runtime: of the recipe's target, which may ask for other bytes; None: any.
    """

    export: Export
    data: Data
    progress: Progress
    times: bool
    forecast: Forecast | None = None
    runtime: str | None = None

    @property
    def knows_times(self) -> bool:
        """Whether `expected_ms` may be asked."""
        return self.times or self.forecast is not None

    @property
    def verb(self) -> str:
        """Before what `expected_ms` says of a model."""
        return "measured" if self.forecast is None else "is predicted to be"

    @property
    def where(self) -> str:
        """Behind a time, in words."""
        if self.forecast is None:
            return " on one thread"
        return f" on {self.forecast.table.host}, {self.forecast.threads} thread{'s' if self.forecast.threads > 1 else ''}"

    def convert(self, model: keras.Model) -> bytes:
        """The .tflite of a model, as a run would deliver it.

        Raises:
            ConversionError: it does not convert, or the runtime is too old for it.
        """
        samples = self.data.calibration.arrays()[0]
        return finished_file(model, self.export, calibration=samples, progress=self.progress, runtime=self.runtime)[1].content

    def latencies_ms(self, files: Mapping[str, bytes]) -> dict[str, float]:
        """Median time of one invoke on one thread, of all files in turns.

        Raises:
            DeviceError: a file that does not run here.
        """
        times = dict[str, float]()
        for name, entry in race_files(files, self.progress).items():
            if entry.p50_ms is None:
                raise DeviceError(f"{name}: the file must run on this machine. Received: {entry.error}.")
            times[name] = entry.p50_ms
        return times

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
