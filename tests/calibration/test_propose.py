import pytest
import torch

from pyg_mmea.calibration import (
    Candidates,
    MutualNearestProposer,
    SinkhornProposer,
    SparseSimilarity,
)
from pyg_mmea.calibration.propose import margins
from pyg_mmea.utils import mutual_nearest

PROPOSERS = [MutualNearestProposer(0), MutualNearestProposer(3), SinkhornProposer()]


def free(num, *taken):
    return torch.tensor([i for i in range(num) if i not in taken], dtype=torch.long)


def build(z_s, z_t, free_s=None, free_t=None, **kwargs):
    online = {"source": {"joint": z_s}, "target": {"joint": z_t}}
    free_s = free(z_s.size(0)) if free_s is None else free_s
    free_t = free(z_t.size(0)) if free_t is None else free_t
    return SparseSimilarity.build(online, None, free_s, free_t, **kwargs)


def noisy_copies(num_s=40, num_t=30, num_links=20):
    z_s, z_t = torch.randn(num_s, 6), torch.randn(num_t, 6)
    z_t[:num_links] = z_s[:num_links] + 0.2 * torch.randn(num_links, 6)
    return z_s, z_t


def by_pair(found):
    return dict(zip(map(tuple, found.pairs.t().tolist()), found.margin.tolist(), strict=True))


def test_proposes_mutual_nearest_neighbours_by_hand():
    z_s = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    z_t = torch.tensor([[0.0, 2.0], [3.0, 0.0]])
    found = MutualNearestProposer(csls_k=0)(build(z_s, z_t))
    assert isinstance(found, Candidates)
    # (0, 1): the next best of either is 0.6; (1, 0): it is 0.8
    assert by_pair(found) == pytest.approx({(0, 1): 0.4, (1, 0): 0.2})
    torch.testing.assert_close(found.score, torch.ones(2))


@pytest.mark.parametrize("csls_k", [0, 3, 10])
def test_all_pairs_are_compared_as_in_the_dense_search(csls_k):
    z_s, z_t = noisy_copies()
    found = MutualNearestProposer(csls_k)(build(z_s, z_t))
    dense = mutual_nearest(z_s, z_t, csls_k)
    assert torch.equal(found.pairs, dense.index)
    torch.testing.assert_close(found.score, dense.score)
    torch.testing.assert_close(found.margin, dense.margin)


@pytest.mark.parametrize("num_iters", [1, 10])
def test_proposes_the_best_of_a_transport_plan(num_iters):
    z_s, z_t = (z.double() for z in noisy_copies())
    found = SinkhornProposer(0.1, num_iters)(build(z_s, z_t))
    plan = (torch.cosine_similarity(z_s[:, None], z_t, dim=-1) / 0.1).exp()
    for _ in range(num_iters):
        plan = plan / plan.sum(dim=0) * (40 / 30)
        plan = plan / plan.sum(dim=1, keepdim=True)
    best = {(i, int(plan[i].argmax())) for i in range(40)}
    expected = {(i, j) for i, j in best if int(plan[:, j].argmax()) == i}
    assert {tuple(pair) for pair in found.pairs.t().tolist()} == expected
    torch.testing.assert_close(found.score, plan.log()[found.pairs[0], found.pairs[1]])


def test_entities_compete_for_their_counterparts():
    # Both sources are nearest to the first target, the second one has nothing else to offer.
    z_s = torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.3, 0.2]])
    z_t = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.4, -0.5]])
    similarity = build(z_s, z_t)
    assert MutualNearestProposer(0)(similarity).pairs.t().tolist() == [[0, 0]]
    assert sorted(SinkhornProposer()(similarity).pairs.t().tolist()) == [[0, 0], [1, 1]]


@pytest.mark.parametrize("k", [3, 50])
@pytest.mark.parametrize("proposer", PROPOSERS, ids=str)
def test_linked_entities_are_never_proposed_and_pairs_are_one_to_one(proposer, k):
    z_s, z_t = noisy_copies()
    free_s, free_t = free(40, 0, 3, 5, 21), free(30, 1, 2, 5, 29)
    similarity = build(z_s, z_t, free_s, free_t, k=k)
    found = proposer(similarity)
    assert found.pairs.size(1) > 5
    assert set(found.pairs[0].tolist()) <= set(free_s.tolist())
    assert set(found.pairs[1].tolist()) <= set(free_t.tolist())
    for side in found.pairs:
        assert side.unique().numel() == side.numel()
    assert torch.equal(similarity.pairs[:, found.place], found.pairs)
    assert torch.equal(found.score, found.score.sort(descending=True).values)
    assert (found.margin > 0).all()
    # Which rows the linked entities have does not matter.
    z_s[[0, 3, 5, 21]], z_t[[1, 2, 5, 29]] = 7.0, -3.0
    again = proposer(build(z_s, z_t, free_s, free_t, k=k))
    assert torch.equal(again.pairs, found.pairs)


@pytest.mark.parametrize("proposer", PROPOSERS, ids=str)
def test_renumbering_the_entities_renumbers_the_candidates(proposer):
    z_s, z_t = noisy_copies()
    order_s, order_t = torch.randperm(40), torch.randperm(30)
    found = proposer(build(z_s, z_t, k=5))
    other = proposer(build(z_s[order_s], z_t[order_t], k=5))
    back = {(int(order_s[s]), int(order_t[t])): margin for (s, t), margin in by_pair(other).items()}
    assert back == pytest.approx(by_pair(found), abs=1e-4)


@pytest.mark.parametrize("proposer", PROPOSERS, ids=str)
def test_an_entity_without_an_embedding_does_not_disturb_the_others(proposer):
    z_t = torch.randn(20, 6)
    z_s = z_t + 0.1 * torch.randn(20, 6)
    z_s[4] = 0
    found = proposer(build(z_s, z_t))
    assert sorted(found.pairs[0].tolist()) == [i for i in range(20) if i != 4]


@pytest.mark.parametrize("proposer", PROPOSERS, ids=str)
def test_ties_are_dropped(proposer):
    z = torch.eye(4)
    twins = torch.cat([z, z[:1]])  # the first source has two equal counterparts
    found = proposer(build(z, twins))
    assert sorted(found.pairs[0].tolist()) == [1, 2, 3]
    same = torch.ones(3, 2)
    assert proposer(build(same, same)).pairs.size(1) == 0


def test_gaps_within_float_noise_are_ties():
    pairs = torch.tensor([[0, 0, 1, 1], [0, 1, 2, 3]])
    cosine = torch.tensor([0.5, 0.5 + 6e-8, 0.5, 0.5 + 6e-6])
    assert cosine.unique().numel() == 3
    found = MutualNearestProposer(0)(SparseSimilarity(pairs, {"joint": cosine}))
    assert found.pairs.t().tolist() == [[1, 3]]


def test_margins_by_hand():
    pairs = torch.tensor([[0, 0, 0, 1, 2], [0, 1, 2, 1, 3]])
    similarity = SparseSimilarity(pairs, {"joint": torch.zeros(5)})
    score = torch.tensor([0.8, 0.5, torch.nan, 0.7, 0.3])
    # (0, 1) is worse than 0.8 of its source and 0.7 of its target; (2, 3) has no rival.
    places = torch.tensor([0, 1, 3, 4])
    found = margins(similarity.rivals(places), places, score)
    assert found.tolist() == pytest.approx([0.3, -0.3, 0.2, 2.0])
    # Among wider gaps, having no rival counts as much as the widest.
    found = margins(similarity.rivals(places), places, 20 * score)
    assert found.tolist() == pytest.approx([6.0, -6.0, 4.0, 6.0])


@pytest.mark.parametrize("proposer", PROPOSERS, ids=str)
def test_a_single_choice_has_a_finite_margin(proposer):
    found = proposer(build(torch.randn(3, 2), torch.randn(3, 2), free(3, 0, 1), free(3, 1, 2)))
    assert found.pairs.tolist() == [[2], [0]]
    assert found.margin.tolist() == [2.0]


@pytest.mark.parametrize("proposer", PROPOSERS, ids=str)
@pytest.mark.parametrize("side", ["source", "target"])
def test_nothing_is_proposed_where_all_are_linked(side, proposer):
    free_s, free_t = (
        free(3, 0, 1, 2) if name == side else free(3) for name in ("source", "target")
    )
    found = proposer(build(torch.randn(3, 2), torch.randn(3, 2), free_s, free_t))
    assert found.pairs.size() == (2, 0)
    assert found.pairs.dtype == found.place.dtype == torch.long
    assert found.score.size() == found.margin.size() == found.place.size() == (0,)


def test_representation():
    assert str(MutualNearestProposer()) == "MutualNearestProposer(csls_k=10)"
    assert str(SinkhornProposer()) == "SinkhornProposer(temperature=0.02, num_iters=10)"


@pytest.mark.parametrize("argument", ["temperature", "num_iters"])
def test_bad_arguments(argument):
    with pytest.raises(ValueError, match=f"'{argument}'"):
        SinkhornProposer(**{argument: 0})
