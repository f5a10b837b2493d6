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

TFIDF = "tfidf"
_NONZEROS = 8  # columns that an n-gram or a word is added to, on average
_AT_ONCE = 4096


def encode_texts(
    texts: Sequence[str | None],
    encoder: str = "hashing",
    dim: int | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> tuple[Tensor, Tensor]:
    """Turns texts into L2-normalised feature vectors.

    But for :obj:`"tfidf"` nothing is fitted, so texts of both graphs, or parts of one, can be
    encoded one after the other.

    * :obj:`"hashing"` counts the character n-grams (2 to 4, within words) of the text in lower case
      without accents, and adds each with a sign to one of :obj:`dim` columns, both given by its
      hash (`Feature Hashing for Large Scale Multitask Learning
      <https://arxiv.org/abs/0902.2206>`_), so that the dot product of two vectors estimates how
      many n-grams the texts share.
    * :obj:`"tfidf"` counts n-grams (2 and 3) and whole words, and what few of the given texts have
      counts for more, by the logarithm of its rarity (`A Statistical Interpretation of Term
      Specificity and its Application in Retrieval <https://doi.org/10.1108/eb026526>`_), which
      tells names apart better. Texts that are to be compared need to be encoded in one call.
    * :obj:`"sentence-transformers:<name>"` asks a pretrained network.

    Args:
        texts (list[str or None]): The texts. :obj:`None` and blank texts are no texts.
        encoder (str): See above. (default: :obj:`"hashing"`)
        dim (int, optional): Number of columns; a pretrained network has its own. (default:
            :obj:`None`, which means 256 for :obj:`"hashing"` and 1,024 for :obj:`"tfidf"`)
        cache_dir (str, optional): Folder that keeps what a pretrained network made of a text, by
            the hash of the text. (default: :obj:`None`)

    Returns:
        Features :math:`(N, D)` and the mask :math:`(N)` of those there are. Other rows are zero.

    Raises:
        ValueError: If there is no such encoder, or :obj:`dim` is not positive.
        ImportError: If an encoder needs an extra that is not installed.
    """
    if dim is not None and dim < 1:
        raise ValueError(f"'dim' needs to be positive (got {dim})")
    kept = [(i, text) for i, text in enumerate(texts) if text is not None and text.strip()]
    some = [text for _, text in kept]
    kind, _, name = encoder.partition(":")
    if encoder == "hashing":
        blocks = _hashing(some, dim or 256)
    elif encoder == TFIDF:
        blocks = _tfidf(some, dim or 1024)
    elif kind == "sentence-transformers" and name:
        blocks = _sentence_transformers(some, name, cache_dir)
    else:
        raise ValueError(
            "'text_encoder' needs to be 'hashing', 'tfidf' or 'sentence-transformers:<name>' "
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


def _tfidf(texts: list[str], dim: int) -> Iterator[np.ndarray]:
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize
    from sklearn.random_projection import SparseRandomProjection

    if not texts:
        yield np.zeros((0, dim), dtype=np.float32)
        return
    kinds = ({"analyzer": "char_wb", "ngram_range": (2, 3)}, {"token_pattern": r"\w+|[^\w\s]"})
    parts = []
    for kind in kinds:
        vectorizer = TfidfVectorizer(
            strip_accents="unicode", sublinear_tf=True, dtype=np.float32, **kind
        )
        parts.append(vectorizer.fit_transform(texts))
    counts = hstack(parts, format="csr")
    if counts.shape[1] <= dim:
        rows = np.pad(normalize(counts).toarray(), ((0, 0), (0, dim - counts.shape[1])))
    else:
        density = min(_NONZEROS / dim, 1.0)  # by default many n-grams would get no column at all
        project = SparseRandomProjection(dim, density=density, dense_output=True, random_state=0)
        rows = normalize(project.fit_transform(counts))
    for start in range(0, len(rows), _AT_ONCE):
        yield rows[start : start + _AT_ONCE]


def _sentence_transformers(
    texts: list[str], name: str, cache_dir: str | os.PathLike[str] | None
) -> Iterator[np.ndarray]:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ImportError(
            f"'sentence-transformers:{name}' needs pip install '.[text]' from a clone"
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
