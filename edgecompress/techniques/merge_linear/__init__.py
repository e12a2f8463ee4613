"""`merge_linear`: layers that are linear together as one, exactly."""

from edgecompress.techniques.merge_linear.stage import apply, plan

__all__ = ["apply", "plan"]
