"""`replace_convolutions`: cheaper blocks in the place of k x k convolutions."""

from edgecompress.techniques.replace_convolutions.stage import apply, plan

__all__ = ["apply", "plan"]
