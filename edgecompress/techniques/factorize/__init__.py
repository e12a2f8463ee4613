"""`factorize`: kernels in factors of low rank, one file per method, and the judgement of where that pays."""

from edgecompress.techniques.factorize.stage import apply, plan

__all__ = ["apply", "plan"]
