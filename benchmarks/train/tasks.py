"""The tasks that are measured."""

from benchmarks.train.bilstm import BILSTM
from benchmarks.train.bow import BOW
from benchmarks.train.mlp import MLP
from benchmarks.train.tagger import TAGGER
from benchmarks.train.transformer import TRANSFORMER

__all__ = ["TASKS"]

TASKS = (MLP, TAGGER, BILSTM, TRANSFORMER, BOW)
