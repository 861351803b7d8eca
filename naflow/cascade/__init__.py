"""NAFlow: the inversion of a CNN, unit by unit; the plan of its cost; the paper's merged units."""

from naflow.cascade.cascade import NAFlow, Progress, attention_map
from naflow.cascade.plan import Plan, PlannedUnit

__all__ = ["NAFlow", "Plan", "PlannedUnit", "Progress", "attention_map"]
