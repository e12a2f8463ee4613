"""`distill`: a student learns from teachers, and goes on alone.

`response`, `feature` and `relation` hold the losses as pure functions; `terms` makes them of a recipe, `distiller` is the
training step, `lesson` what `training.fit` is given, `stage` the technique.
"""

from edgecompress.techniques.distill.distiller import Distiller
from edgecompress.techniques.distill.lesson import teach
from edgecompress.techniques.distill.stage import apply, plan, plan_lesson

__all__ = ["Distiller", "apply", "plan", "plan_lesson", "teach"]
