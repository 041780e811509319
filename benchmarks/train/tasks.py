"""The tasks that are measured."""

from benchmarks.train.mlp import MLP
from benchmarks.train.tagger import TAGGER

__all__ = ["TASKS"]

TASKS = (MLP, TAGGER)
