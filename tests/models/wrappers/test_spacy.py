"""spaCy's Docs become ids, and triops powers spaCy's components: trained, saved, loaded, in several processes."""

from __future__ import annotations

from ast import literal_eval
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import triops
from tests.interpreter import run_python
from triops import Ops, Ragged, to_numpy
from triops.errors import ArgumentError, DTypeError

spacy = pytest.importorskip("spacy")
from spacy.tokens import Doc, DocBin  # noqa: E402
from spacy.training import Example  # noqa: E402
from thinc.api import Config, fix_random_seed, get_ops  # noqa: E402

from triops.models import FeatureExtractor, extract_features, stream_features, to_thinc  # noqa: E402

TOK2VEC = """
@architectures = "triops.Tok2Vec.v1"
width = 16
depth = 1
embed_size = 100
window_size = 1
maxout_pieces = 2
attrs = ["NORM", "SHAPE"]
"""
TAGGER = f"""
[nlp]
lang = "en"
pipeline = ["tok2vec", "tagger"]

[components]

[components.tok2vec]
factory = "tok2vec"

[components.tok2vec.model]
{TOK2VEC}

[components.tagger]
factory = "tagger"

[components.tagger.model]
@architectures = "triops.Tagger.v1"

[components.tagger.model.tok2vec]
@architectures = "spacy.Tok2VecListener.v1"
width = ${{components.tok2vec.model.width}}
"""
TEXTCAT = f"""
[nlp]
lang = "en"
pipeline = ["cats"]

[components]

[components.cats]
factory = "FACTORY"

[components.cats.model]
@architectures = "triops.TextCat.v1"
exclusive_classes = EXCLUSIVE

[components.cats.model.tok2vec]
{TOK2VEC}
"""
WORDS = {"the": "DT", "a": "DT", "dog": "NN", "cat": "NN", "sees": "VB", "likes": "VB", "Rex": "NNP"}


def pipeline(config: str) -> Any:
    fix_random_seed(0)
    return spacy.util.load_model_from_config(Config().from_str(config), auto_fill=True)


def tagged(nlp: Any, count: int = 40) -> list[Example]:
    rng, examples = np.random.default_rng(0), []
    for _ in range(count):
        words = rng.choice(list(WORDS), rng.integers(1, 7)).tolist()
        doc = Doc(nlp.vocab, words=words)
        examples.append(Example.from_dict(doc, {"words": words, "tags": [WORDS[word] for word in words]}))
    return examples


def categorized(nlp: Any) -> list[Example]:
    animals = ("a dog", "the cat sees Rex", "dog likes cat", "the the dog")
    cats = [(text, {"animal": 1.0, "none": 0.0}) for text in animals]
    cats += [(text, {"animal": 0.0, "none": 1.0}) for text in ("Rex likes", "the", "Rex", "a a")]
    return [Example.from_dict(nlp.make_doc(text), {"cats": each}) for text, each in cats]


def train(nlp: Any, examples: list[Example], updates: int, sgd: Any = None) -> None:
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(updates):
        nlp.update(examples, sgd=sgd or optimizer, drop=0.1)


# -- Docs as arrays


def test_features_are_spacys_ids(ops: Ops) -> None:
    nlp = spacy.blank("en")
    docs = list(nlp.pipe(["Dogs see 3 cats", "", "Dogs"]))
    arrays = extract_features(docs, ["NORM", "SHAPE"], ops=ops)
    assert [to_numpy(array).shape for array in arrays] == [(4, 2), (0, 2), (1, 2)]
    assert all(ops.backend.owns(array) and array.dtype.name == "uint64" for array in arrays)
    assert [nlp.vocab.strings[int(each)] for each in to_numpy(arrays[0])[:, 0]] == ["dogs", "see", "3", "cats"]
    assert nlp.vocab.strings[int(to_numpy(arrays[2])[0, 1])] == "Xxxx"
    assert to_numpy(extract_features([docs[0][1:3]], ["ORTH"], ops=ops)[0]).shape == (2, 1)


def test_texts_are_streamed() -> None:
    read = []

    def texts() -> Any:
        for n in range(7):
            read.append(n)
            yield "a " * n

    batches = stream_features(spacy.blank("en"), texts(), batch_size=3, ragged=True)
    first = next(batches)
    assert isinstance(first, Ragged)
    assert first.lengths.tolist() == [0, 2, 4] or first.data.shape == (sum(first.lengths), 4)
    assert len(read) < 7
    assert len(list(batches)) == 2
    assert [len(batch) for batch in stream_features(spacy.blank("en"), texts(), batch_size=4)] == [4, 3]


def test_wrong_features() -> None:
    with pytest.raises(ArgumentError, match="FORM"):
        FeatureExtractor(["NORM", "FORM"])
    with pytest.raises(ArgumentError, match="list of spaCy's attributes"):
        extract_features([], "NORM")
    with pytest.raises(DTypeError, match="got str"):
        extract_features(["a text"])
    with pytest.raises(ArgumentError, match="batch_size"):
        stream_features(spacy.blank("en"), ["a"], batch_size=0)


# -- triops in spaCy's components


@pytest.mark.parametrize("own_optimizer", [False, True], ids=["spacys", "triops"])
def test_a_tagger_learns_and_comes_back(own_optimizer: bool, tmp_path: Path) -> None:
    nlp = pipeline(TAGGER)
    train(nlp, tagged(nlp), 40, triops.models.Adam(0.005) if own_optimizer else None)
    assert nlp.evaluate(tagged(nlp))["tag_acc"] > 0.95
    nlp.to_disk(tmp_path / "pipeline")
    loaded = spacy.load(tmp_path / "pipeline")
    texts = ["the dog sees Rex", "", "a cat likes the dog"] * 4
    expected = [[token.tag_ for token in doc] for doc in nlp.pipe(texts)]
    assert expected[0] == ["DT", "NN", "VB", "NNP"]
    assert [[token.tag_ for token in doc] for doc in loaded.pipe(texts)] == expected
    # JAX, which other tests load, warns of a fork.
    in_two = f"spacy.load({str(tmp_path / 'pipeline')!r}).pipe({texts!r}, n_process=2, batch_size=3)"
    said = run_python(f"import spacy; print([[token.tag_ for token in doc] for doc in {in_two}])")
    assert said == repr(expected)


@pytest.mark.parametrize(("factory", "exclusive"), [("textcat", "true"), ("textcat_multilabel", "false")])
def test_a_text_categoriser_learns_and_comes_back(factory: str, exclusive: str, tmp_path: Path) -> None:
    nlp = pipeline(TEXTCAT.replace("FACTORY", factory).replace("EXCLUSIVE", exclusive))
    train(nlp, categorized(nlp), 60)
    assert nlp("a dog").cats["animal"] > 0.6 > 0.4 > nlp("Rex likes").cats["animal"]
    nlp.to_disk(tmp_path / "pipeline")
    assert spacy.load(tmp_path / "pipeline")("the cat").cats == nlp("the cat").cats
    assert set(nlp("").cats) == {"animal", "none"}


@pytest.mark.slow
def test_spacy_train_on_a_config_file(tmp_path: Path) -> None:
    from spacy.cli.train import train as spacy_train

    nlp = spacy.blank("en")
    DocBin(docs=[example.reference for example in tagged(nlp)]).to_disk(tmp_path / "text.spacy")
    config = tmp_path / "config.cfg"
    pipeline(TAGGER).config.to_disk(config)
    paths = {f"paths.{part}": str(tmp_path / "text.spacy") for part in ("train", "dev")}
    spacy_train(
        config, tmp_path / "out", overrides={**paths, "training.max_steps": 60, "training.eval_frequency": 30}
    )
    assert spacy.load(tmp_path / "out" / "model-best").evaluate(tagged(nlp))["tag_acc"] > 0.9


class Counting:
    """Logistic regression in dicts: no model of Thinc's or triops', and no more methods than the five."""

    def __init__(self) -> None:
        self.sums: dict[int, list[float]] = {}

    def begin_update(self, docs: Any) -> tuple[Any, Any]:
        rows = [ids[:, 0].tolist() for ids in extract_features(docs, ["NORM"])]
        scores = np.array(
            [np.sum([[0.0, 0.0], *(self.sums.get(w, [0.0, 0.0]) for w in row)], axis=0) for row in rows]
        )
        Y = (np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)).astype("float32")

        def backprop(dY: Any) -> list[Any]:
            for row, d_scores in zip(rows, dY, strict=True):
                for word in row:
                    self.sums[word] = (np.array(self.sums.get(word, [0.0, 0.0])) - d_scores).tolist()
            return []

        return Y, backprop

    def to_bytes(self) -> bytes:
        return repr(sorted(self.sums.items())).encode()

    def from_bytes(self, data: bytes) -> Any:
        self.sums = dict(literal_eval(data.decode()))
        return self

    def to_disk(self, path: Any) -> None:
        Path(path).write_bytes(self.to_bytes())

    def from_disk(self, path: Any) -> Any:
        return self.from_bytes(Path(path).read_bytes())


def test_any_object_with_five_methods_powers_a_component() -> None:
    @spacy.registry.architectures("counting.v1")
    def build() -> Any:
        model = to_thinc(Counting())
        model.set_dim("nO", 2)
        return model

    nlp = spacy.blank("en")
    nlp.add_pipe("textcat", config={"model": {"@architectures": "counting.v1"}})
    train(nlp, categorized(nlp), 10)
    assert nlp("a dog").cats["animal"] > 0.7 > 0.3 > nlp("Rex likes").cats["animal"]
    loaded = spacy.blank("en")
    loaded.add_pipe("textcat", config={"model": {"@architectures": "counting.v1"}})
    loaded.from_bytes(nlp.to_bytes())
    assert loaded("a dog").cats == nlp("a dog").cats


def test_a_line_in_a_config_accelerates_thinc() -> None:
    line = 'before_creation = {"@callbacks": "triops.accelerate_thinc.v1"}'
    try:
        nlp = pipeline(f'[nlp]\nlang = "en"\n{line}\npipeline = []')
        nlp.add_pipe("tagger")
        examples = tagged(nlp)
        train(nlp, examples, 2)
        docs = [example.reference for example in examples]
        found = nlp.get_pipe("tagger").model.predict(docs)
        assert type(nlp.get_pipe("tagger").model.ops).__name__ == "TriopsOps"
    finally:
        triops.restore_thinc()
    assert type(get_ops("cpu")).__name__ == "NumpyOps"
    for ours, theirs in zip(found, nlp.get_pipe("tagger").model.predict(docs), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
