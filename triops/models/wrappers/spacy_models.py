"""Architectures of spaCy components, computed by triops, as a spaCy config names them."""

from __future__ import annotations

from typing import Any

import thinc.api

from triops.errors import ArgumentError
from triops.models.adapters import list2ragged, ragged2list, with_array
from triops.models.combinators import chain, clone, concatenate, residual
from triops.models.layers import (
    HashEmbed,
    Linear,
    Logistic,
    Maxout,
    ParametricAttention,
    Softmax,
    expand_window,
    reduce_sum,
)
from triops.models.wrappers.spacy_docs import FEATURES, FeatureExtractor
from triops.models.wrappers.to_thinc import to_thinc
from triops.ops import use_ops

__all__ = ["build_tagger", "build_textcat", "build_tok2vec"]


def build_tok2vec(
    width: int,
    depth: int,
    embed_size: int,
    window_size: int,
    maxout_pieces: int,
    attrs: list[str] = list(FEATURES),  # noqa: B006 - spaCy fills a config from it
    backend: str = "numpy",
) -> Any:
    """`triops.Tok2Vec.v1`: a vector of `width` for each token, from hashed features of it and its neighbours, as
    spaCy's HashEmbedCNN. Docs in, a list of (tokens, width) floats out.

    depth: residual blocks of a window and a maxout layer. embed_size: rows of the table of the first attribute;
    the others have half as many. window_size: neighbours on each side. attrs: spaCy's names. backend: what triops
    computes with.
    """
    with use_ops(backend):
        tables = [
            HashEmbed(width, embed_size if column == 0 else embed_size // 2, seed=8 + column, column=column)
            for column in range(len(attrs))
        ]
        mix = Maxout(width, width * len(tables), maxout_pieces, normalize=True)
        embed = chain(FeatureExtractor(attrs), list2ragged(), with_array(chain(concatenate(*tables), mix)))
        layer = Maxout(width, width * (2 * window_size + 1), maxout_pieces, normalize=True)
        encode = clone(residual(chain(expand_window(window_size), with_array(layer))), depth)
        model = to_thinc(chain(embed, encode, ragged2list()), name="triops.tok2vec")
    model.set_dim("nO", width)
    return model


def build_tagger(tok2vec: Any, nO: int | None = None, backend: str = "numpy") -> Any:
    """`triops.Tagger.v1`: a softmax over the vectors that `tok2vec` gives for each token. Docs in, a list of
    (tokens, nO) probabilities out."""
    width = _width_of(tok2vec)
    with use_ops(backend):
        return _after(tok2vec, to_thinc(with_array(Softmax(nO, width)), name="triops.tagger"))


def build_textcat(tok2vec: Any, exclusive_classes: bool, nO: int | None = None, backend: str = "numpy") -> Any:
    """`triops.TextCat.v1`: a sum of the vectors that `tok2vec` gives, weighed by parametric attention, a maxout
    layer, and a softmax, or where the classes do not exclude each other a sigmoid. Docs in, (docs, nO) out."""
    width = _width_of(tok2vec)
    with use_ops(backend):
        pool = chain(
            list2ragged(), ParametricAttention(width), reduce_sum(), Maxout(width, width, normalize=True)
        )
        classify = Softmax(nO, width) if exclusive_classes else chain(Linear(nO, width), Logistic())
        return _after(tok2vec, to_thinc(chain(pool, classify), name="triops.textcat"))


def _width_of(tok2vec: Any) -> int:
    width: int | None = tok2vec.maybe_get_dim("nO")
    if width is None:
        raise ArgumentError(f"{tok2vec.name} does not say how wide its vectors are: set its dimension nO")
    return width


def _after(tok2vec: Any, output: Any) -> Any:
    """Both as one, with what spaCy's components look for by name."""
    model = thinc.api.chain(tok2vec, output)
    model.set_ref("tok2vec", tok2vec)
    model.set_ref("output_layer", output)
    return model
