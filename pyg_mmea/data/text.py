"""Texts as feature vectors."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

TFIDF = "tfidf"
_NONZEROS = 8  # columns that an n-gram or a word is added to, on average


def encode_texts(
    texts: Sequence[str | None], encoder: str = "hashing", dim: int | None = None
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
        rows = _hashing(some, dim or 256)
    elif encoder == TFIDF:
        rows = _tfidf(some, dim or 1024)
    elif kind == "sentence-transformers" and name:
        rows = _sentence_transformers(some, name)
    else:
        raise ValueError(
            "'text_encoder' needs to be 'hashing', 'tfidf' or 'sentence-transformers:<name>' "
            f"(got '{encoder}')"
        )
    index = torch.tensor([i for i, _ in kept], dtype=torch.long)
    x = torch.zeros(len(texts), rows.shape[1])
    x[index] = torch.from_numpy(rows)
    # A text of nothing but signs that are no n-gram, or whose n-grams cancel out, has no features.
    return x, x.abs().sum(dim=1) > 0


def _hashing(texts: list[str], dim: int) -> np.ndarray:
    from sklearn.feature_extraction.text import HashingVectorizer

    if not texts:
        return np.zeros((0, dim), dtype=np.float32)
    vectorizer = HashingVectorizer(
        analyzer="char_wb",
        ngram_range=(2, 4),
        strip_accents="unicode",
        n_features=dim,
        dtype=np.float32,
    )
    return vectorizer.transform(texts).toarray()


def _tfidf(texts: list[str], dim: int) -> np.ndarray:
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize
    from sklearn.random_projection import SparseRandomProjection

    if not texts:
        return np.zeros((0, dim), dtype=np.float32)
    kinds = ({"analyzer": "char_wb", "ngram_range": (2, 3)}, {"token_pattern": r"\w+|[^\w\s]"})
    parts = []
    for kind in kinds:
        vectorizer = TfidfVectorizer(
            strip_accents="unicode", sublinear_tf=True, dtype=np.float32, **kind
        )
        parts.append(vectorizer.fit_transform(texts))
    counts = hstack(parts, format="csr")
    if counts.shape[1] <= dim:
        return np.pad(normalize(counts).toarray(), ((0, 0), (0, dim - counts.shape[1])))
    density = min(_NONZEROS / dim, 1.0)  # by default many n-grams would get no column at all
    project = SparseRandomProjection(dim, density=density, dense_output=True, random_state=0)
    return normalize(project.fit_transform(counts))


def _sentence_transformers(texts: list[str], name: str) -> np.ndarray:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ImportError(
            f"'sentence-transformers:{name}' needs 'pip install pyg-mmea[text]'"
        ) from error
    model = SentenceTransformer(name)
    if not texts:
        return np.zeros((0, model.get_sentence_embedding_dimension()), dtype=np.float32)
    rows = model.encode(texts, convert_to_numpy=True, normalize_embeddings=True)
    return np.asarray(rows, dtype=np.float32)
