"""Optimizers, and what they accept as a schedule."""

from triops.models.optimizers.optimizer import SGD, Adam, AdamW, Optimizer, RAdam
from triops.models.optimizers.schedules import as_schedule

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RAdam", "as_schedule"]
