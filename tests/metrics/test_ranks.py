import pytest
import torch

from pyg_mmea.metrics import link_ranks
from pyg_mmea.metrics.ranks import _SignCounter
from pyg_mmea.utils import topk

CHUNKS = [1, 4, 1000]


def loop_ranks(x_s, x_t, links, candidates, csls_k):
    """Ranks one link at a time from a dense matrix of the candidates' scores."""
    pairs = [tuple(pair) for pair in links.t().tolist()]
    if candidates == "test":
        sources, targets = sorted({s for s, _ in pairs}), sorted({t for _, t in pairs})
    elif candidates == "all":
        sources, targets = list(range(x_s.size(0))), list(range(x_t.size(0)))
    else:
        sources = sorted({s for s, _ in pairs} | set(candidates[0].tolist()))
        targets = sorted({t for _, t in pairs} | set(candidates[1].tolist()))
    scores = torch.nn.functional.normalize(x_s[sources].double())
    scores = scores @ torch.nn.functional.normalize(x_t[targets].double()).t()
    if csls_k > 0:
        r_s = scores.topk(min(csls_k, len(targets)), dim=1).values.mean(dim=1)
        r_t = scores.topk(min(csls_k, len(sources)), dim=0).values.mean(dim=0)
        scores = 2 * scores - r_s[:, None] - r_t
    ranks = ([], [])
    for s, t in pairs:
        row, column = scores[sources.index(s)], scores[:, targets.index(t)]
        gold = row[targets.index(t)]
        wrong_t = [
            float(v - gold) for v, o in zip(row, targets, strict=True) if (s, o) not in pairs
        ]
        wrong_s = [
            float(v - gold) for v, o in zip(column, sources, strict=True) if (o, t) not in pairs
        ]
        for out, gaps in zip(ranks, (wrong_t, wrong_s), strict=True):
            ahead, tied = sum(g > 1e-6 for g in gaps), sum(abs(g) <= 1e-6 for g in gaps)
            out.append(1 + ahead + tied / 2)
    return torch.tensor(ranks)


def one_to_one_links(generator):
    return torch.stack(
        [torch.randperm(14, generator=generator)[:9], torch.randperm(17, generator=generator)[:9]]
    )


def multi_links(generator):
    links = torch.stack(
        [
            torch.randint(6, (12,), generator=generator),
            torch.randint(7, (12,), generator=generator),
        ]
    )
    links = links.unique(dim=1)
    return links[:, torch.randperm(links.size(1), generator=generator)]


def one_source_links(generator):
    """Several targets for a source, one source for a target."""
    return torch.stack(
        [
            torch.randint(4, (9,), generator=generator),
            torch.randperm(17, generator=generator)[:9],
        ]
    )


def one_target_links(generator):
    return torch.stack(
        [
            torch.randperm(14, generator=generator)[:9],
            torch.randint(4, (9,), generator=generator),
        ]
    )


def test_by_hand():
    x_s = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    x_t = torch.tensor([[0.6, 0.8], [0.0, 1.0], [1.0, 0.0]])
    # cosines: [[0.6, 0, 1], [0.8, 1, 0], [1, 0.8, 0.6]]
    links = torch.tensor([[0, 1, 2], [0, 1, 2]])
    s2t, t2s = link_ranks(x_s, x_t, links, csls_k=0)
    assert s2t.tolist() == [2, 1, 3]
    assert t2s.tolist() == [3, 1, 2]


def test_csls_by_hand():
    # The first target is a hub: cosines [[0.8, 0], [0.76 / c, 0.75 / c]] with c = |x_s[1]|.
    links = torch.tensor([[0, 1], [0, 1]])
    x_s = torch.tensor([[0.8, 0.0, 0.6], [0.76, 0.75, 0.0]])
    x_t = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    assert link_ranks(x_s, x_t, links, csls_k=0)[0].tolist() == [1, 2]
    assert link_ranks(x_s, x_t, links, csls_k=2)[0].tolist() == [1, 1]


def test_ties_count_half():
    x_s = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    x_t = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    links = torch.tensor([[0, 1, 2], [0, 1, 2]])
    s2t, t2s = link_ranks(x_s, x_t, links, csls_k=0)
    assert s2t.tolist() == [1.5, 2.5, 1]
    assert t2s.tolist() == [1, 2.5, 1.5]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", [3, 100, 768])
@pytest.mark.parametrize("chunk_size", [1, 7, 64, 1000])
@pytest.mark.parametrize("csls_k", [0, 5])
def test_collapsed_model_is_at_chance(csls_k, chunk_size, width, dtype):
    x = torch.linspace(-1, 2, width, dtype=dtype).expand(101, -1)
    links = torch.stack([torch.randperm(101), torch.randperm(101)])
    for ranks in link_ranks(x, x, links, "test", csls_k, chunk_size):
        assert ranks.tolist() == [51.0] * 101


def test_zero_embeddings_are_at_chance():
    links = torch.arange(5).repeat(2, 1)
    s2t, t2s = link_ranks(torch.zeros(5, 3), torch.zeros(5, 3), links)
    assert s2t.tolist() == t2s.tolist() == [3.0] * 5


@pytest.mark.parametrize(
    "make_links", [one_to_one_links, multi_links, one_source_links, one_target_links]
)
@pytest.mark.parametrize("candidates", ["test", "all", "given"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_against_loop(dtype, candidates, make_links):
    generator = torch.Generator().manual_seed(len(candidates))
    if candidates == "given":
        candidates = (torch.tensor([13, 2, 2, 5]), torch.tensor([16, 0]))
    for rounded in (False, True):  # rounded embeddings have many equal scores
        x_s = torch.randn(14, 4, generator=generator, dtype=dtype)
        x_t = torch.randn(17, 4, generator=generator, dtype=dtype)
        if rounded:
            x_s, x_t = x_s.round(), x_t.round()
        links = make_links(generator)
        for csls_k in (0, 3, 100):
            expected = loop_ranks(x_s, x_t, links, candidates, csls_k)
            for chunk_size in CHUNKS:
                ranks = link_ranks(x_s, x_t, links, candidates, csls_k, chunk_size)
                assert torch.equal(torch.stack(ranks), expected)


def test_order_of_links_and_entities_does_not_matter():
    generator = torch.Generator().manual_seed(1)
    x_s = torch.randn(14, 4, generator=generator)
    x_t = torch.randn(17, 4, generator=generator)
    links = multi_links(generator)
    perm, perm_s, perm_t = (torch.randperm(n) for n in (links.size(1), 14, 17))
    moved = torch.stack([perm_s.argsort()[links[0]], perm_t.argsort()[links[1]]])[:, perm]
    expected = torch.stack(link_ranks(x_s, x_t, links, "all", 3))
    ranks = torch.stack(link_ranks(x_s[perm_s], x_t[perm_t], moved, "all", 3))
    assert torch.equal(ranks, expected[:, perm])


def test_swapping_sides_swaps_directions():
    generator = torch.Generator().manual_seed(2)
    x_s = torch.randn(14, 4, generator=generator)
    x_t = torch.randn(17, 4, generator=generator)
    links = multi_links(generator)
    s2t, t2s = link_ranks(x_s, x_t, links, "all", 3)
    back_s2t, back_t2s = link_ranks(x_t, x_s, links.flip(0), "all", 3)
    assert torch.equal(s2t, back_t2s)
    assert torch.equal(t2s, back_s2t)


def test_other_answers_of_an_entity_are_no_mistakes():
    x_s = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    x_t = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    links = torch.tensor([[0, 0, 1], [0, 1, 2]])
    s2t, _ = link_ranks(x_s, x_t, links, csls_k=0)
    assert s2t.tolist() == [1, 1, 1]


def test_a_link_given_twice():
    x = torch.eye(3)
    links = torch.tensor([[0, 0, 1], [0, 0, 1]])
    s2t, t2s = link_ranks(x, x, links, csls_k=0)
    assert s2t.tolist() == t2s.tolist() == [1, 1, 1]


def test_more_candidates_never_help():
    generator = torch.Generator().manual_seed(3)
    x_s = torch.randn(14, 4, generator=generator)
    x_t = torch.randn(17, 4, generator=generator)
    links = one_to_one_links(generator)
    few = torch.stack(link_ranks(x_s, x_t, links, "test", 0))
    many = torch.stack(link_ranks(x_s, x_t, links, "all", 0))
    assert (many >= few).all()
    assert (many > few).any()


def test_never_sees_the_whole_matrix(monkeypatch):
    sizes, mm = [], torch.mm

    def counted_mm(a, b, out):
        sizes.append((a.size(0), b.size(1)))
        return mm(a, b, out=out)

    monkeypatch.setattr(topk, "_TILE", 4)
    monkeypatch.setattr(torch, "mm", counted_mm)
    x = torch.randn(50, 4)
    links = torch.arange(20).repeat(2, 1)
    link_ranks(x, x, links, "all", 3, chunk_size=8)
    assert max(rows for rows, _ in sizes) == 8
    assert max(columns for _, columns in sizes) == 4
    # Two passes; the second one skips the tiles that no link needs.
    assert sum(rows * columns for rows, columns in sizes) == 50 * 50 + 24 * 50 + 26 * 20
    sizes.clear()
    link_ranks(x, x, links, "all", 0, chunk_size=8)  # the first pass: tiles with a link
    assert sum(rows * columns for rows, columns in sizes) == 20 * 8 + 4 * 4 + 24 * 50 + 26 * 20 - 16


@pytest.mark.parametrize("csls_k", [0, 3])
@pytest.mark.parametrize("make_links", [one_to_one_links, multi_links])
def test_narrow_tiles_change_nothing(monkeypatch, make_links, csls_k):
    generator = torch.Generator().manual_seed(3)
    x_s = torch.randn(14, 4, generator=generator).round()
    x_t = torch.randn(17, 4, generator=generator).round()
    links = make_links(generator)
    expected = loop_ranks(x_s, x_t, links, "all", csls_k)
    for width in (1, 3, 5):
        monkeypatch.setattr(topk, "_TILE", width)
        assert torch.equal(torch.stack(link_ranks(x_s, x_t, links, "all", csls_k, 4)), expected)


def test_gaps_below_eight_epsilons_are_ties():
    eps = torch.finfo(torch.float32).eps
    for steps, rank in ((7, 1.5), (8, 2)):
        x_t = torch.tensor([[0.5, 0.0], [0.5 + steps * eps, 0.0]])
        counter = _SignCounter(torch.tensor([0]), torch.tensor([0]), x_t[:1, 0], 2)
        counter.add(slice(0, 1), slice(0, 2), x_t[None, :, 0])
        assert counter.ranks().tolist() == [rank]


def test_bad_arguments():
    x, links = torch.eye(3), torch.arange(3).repeat(2, 1)
    with pytest.raises(ValueError, match="at least one link"):
        link_ranks(x, x, links[:, :0])
    with pytest.raises(ValueError, match=r"shape \[2, L\]"):
        link_ranks(x, x, links.t())
    with pytest.raises(ValueError, match="integers"):
        link_ranks(x, x, links.float())
    with pytest.raises(ValueError, match=r"needs source ids in \[0, 2\)"):
        link_ranks(x[:2], x, links)
    with pytest.raises(ValueError, match="target ids"):
        link_ranks(x, x, links - torch.tensor([[0], [1]]))
    with pytest.raises(ValueError, match="target ids"):
        link_ranks(x, x, links, (torch.tensor([0]), torch.tensor([3])))
    with pytest.raises(ValueError, match="'candidates'"):
        link_ranks(x, x, links, "train")
    with pytest.raises(ValueError, match="'csls_k'"):
        link_ranks(x, x, links, csls_k=-1)
    with pytest.raises(ValueError, match="finite"):
        link_ranks(x / 0, x, links)
