"""The only `fit()` of the package: seeds, schedules, early stop, freezing, resume at the epoch, progress, keeps."""

from edgecompress.training.fit import fit
from edgecompress.training.match import match

__all__ = ["fit", "match"]
