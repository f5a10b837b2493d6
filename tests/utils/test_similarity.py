import pytest
import torch

from pyg_mmea.utils import (
    cosine_blocks,
    csls_terms,
    normalize,
    topk,
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


@pytest.mark.parametrize("width", [8, 20, 48])
@pytest.mark.parametrize("k", [1, 3])
def test_topk_similarity_of_many_tiles(monkeypatch, k, width):
    monkeypatch.setattr(topk, "_TILE", 16 * -(-width // 16))
    monkeypatch.setattr(topk, "_PANEL_GROUP", 4)
    x_s, x_t = torch.randn(9, 5), torch.randn(133, 5)
    values, index = topk_similarity(x_s, x_t, k, chunk_size=4)
    expected = dense_cosine(x_s, x_t).topk(k, dim=1)
    torch.testing.assert_close(values, expected.values)
    assert torch.equal(index, expected.indices)


def test_embeddings_may_need_gradients():
    x = torch.randn(6, 3, requires_grad=True)
    assert not topk_similarity(x, x, 2)[0].requires_grad
    assert not csls_terms(x, x, 2)[0].requires_grad
