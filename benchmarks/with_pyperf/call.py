"""What each of pyperf's processes runs: one case of `triops.bench.cases` on one backend, as pyperf calls it."""

from __future__ import annotations

import argparse

import pyperf

from triops.bench.cases import find_case
from triops.bench.measure import waiting
from triops.ops import get_ops

__all__ = ["main"]

_OWN = ("backend", "suite", "name", "shape")


def main() -> None:
    """Measure what the arguments name. pyperf passes them on to the processes that it starts."""
    runner = pyperf.Runner(program_args=("-m", "benchmarks.with_pyperf.call"), add_cmdline_args=_pass_on)
    for option in _OWN:
        runner.argparser.add_argument(f"--{option}", required=True)
    args = runner.parse_args()
    ops = get_ops(args.backend)
    work = find_case(args.suite, args.name).start(ops, "float32", tuple(map(int, args.shape.split("x"))))
    runner.bench_func(args.name, waiting(ops, work.call))


def _pass_on(command: list[str], args: argparse.Namespace) -> None:
    for option in _OWN:
        command += [f"--{option}", getattr(args, option)]


if __name__ == "__main__":
    main()
