"""The whole export of a model: the converter's file, and what is delivered, which is smaller by the lossless shrink."""

from edgecompress.backend import keras
from edgecompress.export.convert import Conversion, convert
from edgecompress.progress import Progress
from edgecompress.recipe.schema import Export
from edgecompress.samples import Samples
from edgecompress.shrinking import ShrunkExport, shrink_export


def finished_file(
    model: keras.Model, export: Export, *, calibration: Samples | None, progress: Progress, runtime: str | None = None
) -> tuple[Conversion, ShrunkExport]:
    """Converts a model as `convert` does, then shrinks the file where `export.shrink` is on. What weighs or times a model takes this file.

    Args:
        model, export, calibration, progress, runtime: as for `convert`.

    Returns:
        What the converter made, and what is delivered.

    Raises:
        EdgeCompressError: as `convert`.
    """
    conversion = convert(model, export, calibration=calibration, progress=progress, runtime=runtime)
    if not export.shrink:
        return conversion, ShrunkExport(conversion.content)
    with progress.task("shrinking"):
        return conversion, shrink_export(conversion.content)
