"""The only `fit()` of the package: seeds, schedules, early stop, freezing, resume at the epoch, progress, keeps."""

from edgecompress.training.class_weights import check_class_weights
from edgecompress.training.fit import fit
from edgecompress.training.match import match

__all__ = ["check_class_weights", "fit", "match"]
