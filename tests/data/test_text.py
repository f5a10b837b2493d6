import builtins
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from pyg_mmea.data.text import encode_texts


def test_hashing() -> None:
    texts = ["Berlin Wall", None, "", "  \n", "berlin wall", "Paris", "中国"]
    x, mask = encode_texts(texts)
    assert x.shape == (7, 256)
    assert x.dtype == torch.float32
    assert mask.tolist() == [True, False, False, False, True, True, True]
    assert x[~mask].abs().sum() == 0
    torch.testing.assert_close(x[mask].norm(dim=1), torch.ones(4))
    torch.testing.assert_close(x[0], x[4])


def test_similar_texts_are_near() -> None:
    x, _ = encode_texts(["Château d'Été", "Chateau d'Ete", "Chateaux", "Mount Fuji"], dim=512)
    similarity = x @ x.t()
    assert similarity[0, 1] == pytest.approx(1)
    assert similarity[0, 2] > 0.3
    assert similarity[0, 2] > similarity[0, 3] + 0.2


def test_texts_do_not_depend_on_each_other() -> None:
    texts = ["one", "two", "three and a bit", None]
    together, _ = encode_texts(texts, dim=32)
    apart = torch.cat([encode_texts([text], dim=32)[0] for text in texts])
    assert torch.equal(together, apart)


def test_no_texts() -> None:
    assert encode_texts([], dim=8)[0].shape == (0, 8)
    assert encode_texts([None], dim=8)[0].shape == (1, 8)


@pytest.mark.parametrize("encoder", ["", "bert", "sentence-transformers:", "hashing:3"])
def test_unknown_encoder(encoder: str) -> None:
    with pytest.raises(ValueError, match="text_encoder"):
        encode_texts(["a"], encoder)


def test_dim_needs_to_be_positive() -> None:
    with pytest.raises(ValueError, match="'dim'"):
        encode_texts(["a"], dim=0)


class Network:
    def __init__(self, name: str) -> None:
        assert name == "all/MiniLM"

    def get_sentence_embedding_dimension(self) -> int:
        return 2

    def encode(self, texts: list[str], **kwargs: bool) -> np.ndarray:
        assert kwargs == {"convert_to_numpy": True, "normalize_embeddings": True}
        return np.array([[len(text), 1.0] for text in texts])


def test_sentence_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("sentence_transformers")
    module.SentenceTransformer = Network
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    x, mask = encode_texts(["abc", None, "d"], "sentence-transformers:all/MiniLM")
    assert x.tolist() == [[3, 1], [0, 0], [1, 1]]
    assert x.dtype == torch.float32
    assert mask.tolist() == [True, False, True]
    assert encode_texts([None], "sentence-transformers:all/MiniLM")[0].shape == (1, 2)


def test_what_a_network_made_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[str] = []

    class Watched(Network):
        def encode(self, texts: list[str], **kwargs: bool) -> np.ndarray:
            seen.extend(texts)
            return super().encode(texts, **kwargs)

    module: Any = ModuleType("sentence_transformers")
    module.SentenceTransformer = Watched
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    encoder = "sentence-transformers:all/MiniLM"
    first, _ = encode_texts(["abc", "d", "abc"], encoder, cache_dir=tmp_path / "new")
    again, _ = encode_texts(["ef", "abc"], encoder, cache_dir=tmp_path / "new")
    assert seen == ["abc", "d", "ef"]
    assert first.tolist() == [[3, 1], [1, 1], [3, 1]]
    assert again.tolist() == [[2, 1], [3, 1]]


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "sentence_transformers":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install '\.\[text\]"):
        encode_texts(["a"], "sentence-transformers:x")


def test_rare_words_count_for_more() -> None:
    texts = ["river thames", "river seine", "thames", "river rhine", "river po", "river elbe", None]
    x, mask = encode_texts(texts, "tfidf")
    assert x.shape == (7, 1024)
    assert mask.tolist() == [True] * 6 + [False]
    torch.testing.assert_close(x[mask].norm(dim=1), torch.ones(6))
    plain, _ = encode_texts(texts, "hashing", dim=1024)
    # What "river thames" shares with "river seine" is in most texts.
    assert x[0] @ x[2] > 2 * (x[0] @ x[1])
    assert x[0] @ x[1] < plain[0] @ plain[1]
    assert torch.equal(x, encode_texts(texts, "tfidf")[0])


def test_no_texts_to_weigh() -> None:
    assert encode_texts([None, ""], "tfidf", dim=8)[0].shape == (2, 8)
    assert encode_texts(["a b", "c"], "tfidf", dim=4)[0].shape == (2, 4)


def test_many_texts_are_weighed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"river number{i}" for i in range(7)]
    whole = encode_texts(texts, "tfidf", dim=16)[0]
    monkeypatch.setattr("pyg_mmea.data.text._AT_ONCE", 3)
    assert torch.equal(encode_texts(texts, "tfidf", dim=16)[0], whole)
