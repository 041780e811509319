"""What a spaCy config can name among its callbacks."""

from __future__ import annotations

from collections.abc import Callable

from triops.models.wrappers.accelerate_thinc import accelerate_thinc

__all__ = ["make_acceleration"]


def make_acceleration() -> Callable[[type], type]:
    """`[nlp] before_creation = {"@callbacks": "triops.accelerate_thinc.v1"}`: before the pipeline is made, Thinc
    gets triops' kernels, in all of this process."""

    def accelerate(language: type) -> type:
        accelerate_thinc()
        return language

    return accelerate
