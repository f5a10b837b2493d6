import pytest
import torch

from pyg_mmea.utils import (
    cosine_blocks,
    csls_terms,
    nearest_pairs,
    normalize,
    search,
    topk_similarity,
    unit_rows,
)

CHUNKS = [1, 3, 7, 1000]


def dense_cosine(x_s, x_t):
    return torch.nn.functional.normalize(x_s) @ torch.nn.functional.normalize(x_t).t()


@pytest.fixture(params=[torch.float32, torch.float64])
def embeddings(request):
    generator = torch.Generator().manual_seed(0)
    x_s = torch.randn(11, 5, generator=generator, dtype=request.param)
    x_t = torch.randn(13, 5, generator=generator, dtype=request.param)
    return x_s, x_t


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normalize(dtype):
    out = normalize(torch.tensor([[3.0, 4.0], [0.0, 0.0], [-2.0, 0.0]], dtype=dtype))
    assert out.dtype == dtype
    expected = torch.tensor([[0.6, 0.8], [0.0, 0.0], [-1.0, 0.0]], dtype=dtype)
    torch.testing.assert_close(out, expected)


def test_normalize_extreme_sizes():
    out = normalize(torch.tensor([[3e-30, 4e-30], [3e30, 4e30]]))
    torch.testing.assert_close(out, torch.tensor([[0.6, 0.8], [0.6, 0.8]]))


def test_normalize_raises_half_precision():
    assert normalize(torch.ones(2, 3, dtype=torch.bfloat16)).dtype == torch.float32


def test_normalize_leaves_its_input():
    x = torch.tensor([[3.0, 4.0]])
    normalize(x)
    assert x.tolist() == [[3.0, 4.0]]


def test_normalize_bad_input():
    with pytest.raises(ValueError, match="matrix"):
        normalize(torch.ones(3))
    for value in (torch.nan, torch.inf):
        with pytest.raises(ValueError, match="finite"):
            normalize(torch.tensor([[1.0, value]]))


@pytest.mark.parametrize("chunk_size", CHUNKS)
def test_cosine_blocks(embeddings, chunk_size):
    blocks = list(cosine_blocks(*embeddings, chunk_size))
    assert all(block.size(0) == stop - start <= chunk_size for start, stop, block in blocks)
    assert [start for start, _, _ in blocks] == list(range(0, 11, chunk_size))
    torch.testing.assert_close(torch.cat([b for _, _, b in blocks]), dense_cosine(*embeddings))


@pytest.mark.parametrize("chunk_size", CHUNKS)
@pytest.mark.parametrize("k", [1, 4, 13])
def test_topk_similarity(embeddings, k, chunk_size):
    values, index = topk_similarity(*embeddings, k, chunk_size)
    expected = dense_cosine(*embeddings).sort(dim=1, descending=True)
    torch.testing.assert_close(values, expected.values[:, :k])
    assert torch.equal(index, expected.indices[:, :k])


@pytest.mark.parametrize("k", [0, 14])
def test_topk_similarity_bad_k(embeddings, k):
    with pytest.raises(ValueError, match=r"'k' needs to be in \[1, 13\]"):
        topk_similarity(*embeddings, k)


def test_csls_terms_by_hand():
    x_s = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    x_t = torch.tensor([[1.0, 0.0], [0.0, -1.0], [0.6, 0.8]])
    # cosines: [[1, 0, 0.6], [0, -1, 0.8]]
    r_s, r_t = csls_terms(x_s, x_t, k=2)
    torch.testing.assert_close(r_s, torch.tensor([0.8, 0.4]))
    torch.testing.assert_close(r_t, torch.tensor([0.5, -0.5, 0.7]))


@pytest.mark.parametrize("chunk_size", CHUNKS)
@pytest.mark.parametrize("k", [1, 3, 5, 12, 50])
def test_csls_terms_against_dense(embeddings, k, chunk_size):
    cosine = dense_cosine(*embeddings)
    r_s, r_t = csls_terms(*embeddings, k, chunk_size)
    torch.testing.assert_close(r_s, cosine.sort(1, descending=True).values[:, :k].mean(1))
    torch.testing.assert_close(r_t, cosine.sort(0, descending=True).values[:k].mean(0))


def test_csls_terms_off(embeddings):
    r_s, r_t = csls_terms(*embeddings, k=0)
    assert r_s.tolist() == [0.0] * 11
    assert r_t.tolist() == [0.0] * 13


def test_bad_arguments(embeddings):
    x_s, x_t = embeddings
    with pytest.raises(ValueError, match="same width"):
        csls_terms(x_s, x_t[:, :3])
    with pytest.raises(ValueError, match="at least one entity"):
        csls_terms(x_s, x_t[:0])
    with pytest.raises(ValueError, match="'csls_k'"):
        csls_terms(x_s, x_t, k=-1)
    with pytest.raises(ValueError, match="'chunk_size'"):
        csls_terms(x_s, x_t, chunk_size=0)


def test_mixed_precision_takes_the_finer(embeddings):
    x_s, x_t = embeddings
    values, _ = topk_similarity(x_s.float(), x_t.double(), 2)
    assert values.dtype == torch.float64


def test_unit_rows_is_differentiable_and_leaves_zeros_alone():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=torch.double, requires_grad=True)
    out = unit_rows(x)
    assert out.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]
    out.sum().backward()
    assert bool(torch.isfinite(x.grad).all())
    y = torch.randn(3, 4, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(unit_rows, (y,))
    assert unit_rows(torch.ones(1, 4, dtype=torch.bfloat16)).dtype == torch.float32


def nearest_by_loop(scores, k):
    """The pairs of which one is among the k best of the other, sorted."""
    num_s, num_t = scores.shape
    pairs = {(i, j) for i in range(num_s) for j in scores[i].sort(descending=True)[1][:k].tolist()}
    pairs |= {
        (i, j) for j in range(num_t) for i in scores[:, j].sort(descending=True)[1][:k].tolist()
    }
    return sorted(map(list, pairs))


@pytest.mark.parametrize("chunk_size", CHUNKS)
@pytest.mark.parametrize("k", [1, 4, 12, 50])
def test_nearest_pairs_against_dense(embeddings, k, chunk_size):
    pairs = nearest_pairs(*embeddings, k, chunk_size=chunk_size)
    assert pairs.dtype == torch.long
    assert pairs.t().tolist() == nearest_by_loop(dense_cosine(*embeddings), k)
    assert pairs.size(1) <= k * 24
    if k >= 13:
        assert pairs.size(1) == 11 * 13


@pytest.mark.parametrize("chunk_size", CHUNKS)
@pytest.mark.parametrize("k", [1, 3, 50])
@pytest.mark.parametrize("channels", [1, 3, 5, 9])
def test_nearest_pairs_by_principal_components(embeddings, channels, k, chunk_size):
    x_s, x_t = (torch.nn.functional.normalize(x.double()) for x in embeddings)
    # Right singular vectors: the same components as of the second moments.
    basis = torch.linalg.svd(torch.cat([x_s, x_t])).Vh[:channels].t()
    scores = dense_cosine(x_s @ basis, x_t @ basis)
    pairs = nearest_pairs(*embeddings, k, channels, chunk_size).t().tolist()
    if channels == 1:  # all cosines are one or minus one
        assert k > 1 or all(float(scores[i, j]) > 0.99 for i, j in pairs)
    else:
        assert pairs == nearest_by_loop(scores, k)
    if channels >= 5:  # the embeddings are no wider
        assert pairs == nearest_pairs(*embeddings, k).t().tolist()


def test_nearest_pairs_finds_most_in_a_space_of_low_rank():
    basis = torch.randn(8, 64)
    x_s, x_t = (torch.randn(num, 8) @ basis + 0.3 * torch.randn(num, 64) for num in (300, 200))
    exact, other, near = (
        set(map(tuple, nearest_pairs(x_s, x_t, 10, channels).t().tolist()))
        for channels in (None, 2, 16)
    )
    assert len(exact & near) / len(exact) > 0.9
    assert len(exact & other) / len(exact) < 0.5  # so that recall says something


def test_nearest_pairs_is_exact_where_the_rank_is_low():
    basis = torch.randn(4, 32, dtype=torch.double)
    x_s, x_t = (torch.randn(num, 4, dtype=torch.double) @ basis for num in (40, 30))
    assert torch.equal(nearest_pairs(x_s, x_t, 5, channels=4), nearest_pairs(x_s, x_t, 5))


def test_nearest_pairs_finds_components_on_a_sample(embeddings, monkeypatch):
    monkeypatch.setattr(search, "_PCA_ROWS", 4)
    found = nearest_pairs(*embeddings, 3, channels=4)
    units = [torch.nn.functional.normalize(x) for x in embeddings]
    rows = torch.cat([units[0][::2], units[1][::3]])  # 11 // 4 and 13 // 4
    basis = torch.linalg.svd(rows).Vh[:4].t()
    scores = dense_cosine(*(x @ basis for x in units))
    assert found.t().tolist() == nearest_by_loop(scores, 3)


def test_few_rows_are_compared_in_full():
    x_s, x_t = torch.randn(6, 20), torch.randn(7, 20)
    assert torch.equal(nearest_pairs(x_s, x_t, 2, channels=3), nearest_pairs(x_s, x_t, 2))
    more = torch.randn(30, 20)
    assert not torch.equal(nearest_pairs(more, x_t, 2, channels=3), nearest_pairs(more, x_t, 2))


@pytest.mark.parametrize("channels", [0, -2])
def test_nearest_pairs_needs_channels(embeddings, channels):
    with pytest.raises(ValueError, match="'channels' needs to be at least 1"):
        nearest_pairs(*embeddings, 1, channels=channels)


def test_nearest_pairs_bad_arguments(embeddings):
    with pytest.raises(ValueError, match="'k' needs to be at least 1"):
        nearest_pairs(*embeddings, 0)
    with pytest.raises(ValueError, match="'chunk_size'"):
        nearest_pairs(*embeddings, 1, chunk_size=0)
    with pytest.raises(ValueError, match="same width"):
        nearest_pairs(embeddings[0], embeddings[1][:, :3], 1)
    with pytest.raises(ValueError, match="at least one entity"):
        nearest_pairs(embeddings[0], embeddings[1][:0], 1)
