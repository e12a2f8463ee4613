"""Data: one file per source, preprocessing, augmentation, and splits that stream in batches."""

from edgecompress.data.dataset import Data, load_data
from edgecompress.data.split import Split

__all__ = ["Data", "Split", "load_data"]
