"""Files that lie nowhere yet, timed against each other on this machine."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from edgecompress.benchmarking import benchmark_files
from edgecompress.progress import Progress
from edgecompress.report.schema import BenchmarkEntry
from edgecompress.store import storage_errors

RUNS = 200  # timed invokes of each file


def race_files(files: Mapping[str, bytes], progress: Progress) -> dict[str, BenchmarkEntry]:
    """Times files in turns, on one thread.

    Args:
        files: name -> content of a .tflite.
        progress: gets a bar.

    Returns:
        The entry of each, in the same order; that of a file that does not run here has an `error` and no times.

    Raises:
        StorageError: the temporary folder cannot be written.
    """
    with storage_errors(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory(prefix="edgecompress-") as folder:
        paths = {name: Path(folder, f"{number}.tflite") for number, name in enumerate(files)}
        for name, path in paths.items():
            path.write_bytes(files[name])
        entries = benchmark_files(paths, threads=[1], runs=RUNS, progress=progress)
    return {entry.model: entry for entry in entries}
