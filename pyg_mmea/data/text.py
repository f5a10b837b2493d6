"""Texts as feature vectors."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pyg_mmea.data.feature_cache import read_cache, write_cache
from pyg_mmea.utils.io import fingerprint
from pyg_mmea.utils.progress import track

_AT_ONCE = 4096


def encode_texts(
    texts: Sequence[str | None],
    encoder: str = "hashing",
    dim: int = 256,
    cache_dir: str | os.PathLike[str] | None = None,
) -> tuple[Tensor, Tensor]:
    """Turns texts into L2-normalised feature vectors that do not depend on each other.

    Nothing is fitted, so texts of both graphs, or parts of one, can be encoded one after the
    other. :obj:`"hashing"` counts the character n-grams (2 to 4, within words) of the text in lower
    case without accents, and adds each with a sign to one of :obj:`dim` columns, both given by
    its hash (`Feature Hashing for Large Scale Multitask Learning
    <https://arxiv.org/abs/0902.2206>`_), so that the dot product of two vectors estimates how
    many n-grams the texts share.

    Args:
        texts (list[str or None]): The texts. :obj:`None` and blank texts are no texts.
        encoder (str): :obj:`"hashing"`, or :obj:`"sentence-transformers:<name>"` for a pretrained
            network. (default: :obj:`"hashing"`)
        dim (int): Number of columns of :obj:`"hashing"`; a pretrained network has its own.
            (default: :obj:`256`)
        cache_dir (str, optional): Folder that keeps what a pretrained network made of a text, by
            the hash of the text. (default: :obj:`None`)

    Returns:
        Features :math:`(N, D)` and the mask :math:`(N)` of those there are. Other rows are zero.

    Raises:
        ValueError: If there is no such encoder, or :obj:`dim` is not positive.
        ImportError: If an encoder needs an extra that is not installed.
    """
    if dim < 1:
        raise ValueError(f"'dim' needs to be positive (got {dim})")
    kept = [(i, text) for i, text in enumerate(texts) if text is not None and text.strip()]
    some = [text for _, text in kept]
    kind, _, name = encoder.partition(":")
    if encoder == "hashing":
        blocks = _hashing(some, dim)
    elif kind == "sentence-transformers" and name:
        blocks = _sentence_transformers(some, name, cache_dir)
    else:
        raise ValueError(
            "'text_encoder' needs to be 'hashing' or 'sentence-transformers:<name>' "
            f"(got '{encoder}')"
        )
    index = torch.tensor([i for i, _ in kept], dtype=torch.long)
    x = torch.empty(0)
    blocks = track(blocks, "Encoding texts", len(some), "texts", _AT_ONCE)
    for rows, where in zip(blocks, index.split(_AT_ONCE), strict=True):
        if x.dim() == 1:  # the first block says how many columns there are
            x = torch.zeros(len(texts), rows.shape[1])
        x[where] = torch.from_numpy(rows)
    # A text of nothing but signs that are no n-gram, or whose n-grams cancel out, has no features.
    return x, x.abs().sum(dim=1) > 0


def _blocks(texts: list[str]) -> Iterator[list[str]]:
    """Some texts at a time, which bounds memory; without any, one empty block."""
    for start in range(0, max(len(texts), 1), _AT_ONCE):
        yield texts[start : start + _AT_ONCE]


def _hashing(texts: list[str], dim: int) -> Iterator[np.ndarray]:
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(
        analyzer="char_wb",
        ngram_range=(2, 4),
        strip_accents="unicode",
        n_features=dim,
        dtype=np.float32,
    )
    for block in _blocks(texts):
        yield vectorizer.transform(block).toarray() if block else np.zeros((0, dim), np.float32)


def _sentence_transformers(
    texts: list[str], name: str, cache_dir: str | os.PathLike[str] | None
) -> Iterator[np.ndarray]:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ImportError(
            f"'sentence-transformers:{name}' needs 'pip install pyg-mmea[text]'"
        ) from error
    model = SentenceTransformer(name)
    width = model.get_sentence_embedding_dimension()
    cache = None if cache_dir is None else Path(cache_dir) / f"texts-{fingerprint(name)}.npz"
    known = {} if cache is None else read_cache(cache, width)
    before = len(known)
    try:
        for block in _blocks(texts):
            keys = [
                hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in block
            ]
            todo = {key: text for key, text in zip(keys, block, strict=True) if key not in known}
            if todo:
                new = model.encode(
                    list(todo.values()), convert_to_numpy=True, normalize_embeddings=True
                )
                known.update(zip(todo, np.asarray(new, dtype=np.float32), strict=True))
            rows = [known[key] for key in keys]
            yield np.stack(rows) if rows else np.zeros((0, width), dtype=np.float32)
    finally:  # what is done before an interrupt is kept, too
        if cache is not None and len(known) > before:
            write_cache(cache, known)
