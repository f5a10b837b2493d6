import logging
import socket

import pytest
import torch
import torch.distributed as dist

from pyg_mmea.utils import (
    nearest_pairs,
    search,
    search_recall,
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


def clusters(num, width=16, seed=0):
    """Two sides in clusters of about ten, each entity with a noisy copy."""
    generator = torch.Generator().manual_seed(seed)
    centre = torch.randn(num // 10, width, generator=generator)
    base = centre[torch.randint(num // 10, (num,), generator=generator)]
    base = base + 0.4 * torch.randn(num, width, generator=generator)
    return base + 0.1 * torch.randn(num, width, generator=generator), base.flip(0)


def test_faiss_finds_most_neighbours_and_the_same_each_time():
    pytest.importorskip("faiss")
    x_s, x_t = clusters(3000)
    exact, found = (nearest_pairs(x_s, x_t, 10, search=name) for name in ("exact", "faiss"))
    both = set(map(tuple, exact.t().tolist())) & set(map(tuple, found.t().tolist()))
    assert len(both) / exact.size(1) > 0.9
    keys = found[0] * 3000 + found[1]
    assert bool((keys[1:] > keys[:-1]).all())
    assert torch.equal(found, nearest_pairs(x_s, x_t, 10, search="faiss"))
    assert search_recall(x_s, x_t, 10, num_rows=200) > 0.9
    assert search_recall(x_s, x_t, 10, "exact", num_rows=200) == 1


def test_faiss_with_few_entities():
    pytest.importorskip("faiss")
    x_s, x_t = torch.randn(5, 3), torch.randn(7, 3)
    assert torch.equal(nearest_pairs(x_s, x_t, 9, search="faiss"), nearest_pairs(x_s, x_t, 9))
    found = search.faiss_neighbours(torch.randn(2, 3), torch.randn(200, 3), 190)
    assert found.shape == (2, 190)


def test_neighbours_that_were_not_found_are_no_pairs(monkeypatch):
    near = torch.tensor([[1, -1], [0, 1]])
    monkeypatch.setattr(search, "faiss_neighbours", lambda *args: near)
    found = nearest_pairs(torch.randn(2, 3), torch.randn(2, 3), 2, search="faiss")
    assert found.t().tolist() == [[0, 1], [1, 0], [1, 1]]


def test_recall_by_hand(monkeypatch):
    x = torch.eye(4) + 0.1 * torch.arange(4.0)
    expected = search.topk_similarity(x, x, 2)[1]
    half = torch.stack([expected[:, 0], torch.full((4,), -1)], dim=1)
    monkeypatch.setattr(search, "faiss_neighbours", lambda rows, *args: half[: len(rows)])
    monkeypatch.setattr(torch, "randperm", lambda num, generator: torch.arange(num))
    assert search_recall(x, x, 2) == 0.5
    assert search_recall(x, x, 2, num_rows=1) == 0.5


def test_auto_takes_faiss_for_many_entities_only(monkeypatch):
    taken = []
    near = torch.zeros(6, 1, dtype=torch.long)
    monkeypatch.setattr(search, "EXACT_LIMIT", 5)
    monkeypatch.setattr(search, "_has_faiss", lambda: True)
    monkeypatch.setattr(search, "faiss_neighbours", lambda *args: taken.append(1) or near)
    nearest_pairs(torch.randn(5, 3), torch.randn(5, 3), 1, search="auto")
    assert not taken
    nearest_pairs(torch.randn(6, 3), torch.randn(6, 3), 1)
    assert not taken
    nearest_pairs(torch.randn(6, 3), torch.randn(6, 3), 1, search="auto")
    assert len(taken) == 2


def test_without_faiss(monkeypatch, caplog):
    def missing():
        raise ImportError("pip install '.[faiss]'")

    monkeypatch.setattr(search, "EXACT_LIMIT", 5)
    monkeypatch.setattr(search, "import_faiss", missing)
    search._has_faiss.cache_clear()
    x_s, x_t = torch.randn(6, 3), torch.randn(6, 3)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            found = nearest_pairs(x_s, x_t, 2, search="auto")
            assert torch.equal(found, nearest_pairs(x_s, x_t, 2))
    search._has_faiss.cache_clear()
    assert len(caplog.records) == 1
    assert "'.[faiss]'" in caplog.text
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(ImportError, match=r"pip install '\.\[faiss\]'"):
        nearest_pairs(x_s, x_t, 2, search="faiss")


def test_bad_search():
    x = torch.randn(3, 2)
    for call in (nearest_pairs, search_recall):
        with pytest.raises(ValueError, match="'search' needs to be one of"):
            call(x, x, 1, search="fast")
    for arguments in ({"k": 4}, {"k": 0}, {"num_rows": 0}):
        with pytest.raises(ValueError, match="'num_rows' at least 1"):
            search_recall(x, x, **{"k": 1, **arguments})


def test_one_process_is_the_plain_function(embeddings):
    assert torch.equal(nearest_pairs(*embeddings, 3, shared=True), nearest_pairs(*embeddings, 3))


def _search_in_group(rank, port, path):
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    try:
        out = []
        for name, num in (("exact", 300), ("exact", 20), ("faiss", 300)):
            x_s, x_t = clusters(num)
            out.append(nearest_pairs(x_s, x_t[:-3], 4, 8, 32, name, shared=True))
        torch.save(out, f"{path}/{rank}.pt")
    finally:
        dist.destroy_process_group()


def test_two_processes_share_the_search(tmp_path):
    pytest.importorskip("faiss")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_search_in_group, (port, str(tmp_path)), nprocs=2)
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for pairs, (name, num) in zip(
            found, (("exact", 300), ("exact", 20), ("faiss", 300)), strict=True
        ):
            x_s, x_t = clusters(num)
            assert torch.equal(pairs, nearest_pairs(x_s, x_t[:-3], 4, 8, 32, name))


def test_each_process_searches_its_rows_alone(monkeypatch):
    rows = []
    topk_similarity = search.topk_similarity
    monkeypatch.setattr(
        search, "topk_similarity", lambda x, *args: rows.append(len(x)) or topk_similarity(x, *args)
    )
    monkeypatch.setattr(search, "_gather", lambda part, bounds, num: part)
    monkeypatch.setattr(search, "_union", lambda near_s, near_t: None)
    for rank in range(3):
        search._nearest_pairs(
            torch.randn(10, 3), torch.randn(7, 3), 1, None, 2, "exact", 0, rank, 3
        )
    assert rows == [2, 2, 4, 2, 4, 3]


@pytest.mark.parametrize(("low", "level"), [(0.0, "INFO"), (1.1, "WARNING")])
def test_the_recall_of_an_approximate_search_is_logged(monkeypatch, caplog, low, level):
    pytest.importorskip("faiss")
    monkeypatch.setattr(search, "_LOW_RECALL", low)
    x = torch.randn(300, 8)
    with caplog.at_level(logging.INFO, logger="pyg_mmea"):
        nearest_pairs(x, x, 5, search="faiss")
    assert [record.levelname for record in caplog.records] == [level] * 2
    assert "of the 5 nearest of 200 entities" in caplog.messages[0]
