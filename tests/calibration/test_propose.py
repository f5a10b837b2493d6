import pytest
import torch

from pyg_mmea.calibration import MutualNearestProposer


def free(num, *taken):
    return torch.tensor([i for i in range(num) if i not in taken])


def test_proposes_mutual_nearest_neighbours_by_hand():
    z_s = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    z_t = torch.tensor([[0.0, 2.0], [3.0, 0.0]])
    found = MutualNearestProposer(csls_k=0)(z_s, z_t, free(3), free(2))
    assert {tuple(pair) for pair in found.pairs.t().tolist()} == {(0, 1), (1, 0)}
    assert torch.allclose(found.score, torch.ones(2))
    # (0, 1): the next best of either is 0.6; (1, 0): it is 0.8
    margin = dict(zip(found.pairs[0].tolist(), found.margin.tolist(), strict=True))
    assert margin == pytest.approx({0: 0.4, 1: 0.2})


@pytest.mark.parametrize("csls_k", [0, 3])
def test_linked_entities_are_never_proposed_and_pairs_are_one_to_one(csls_k):
    z_s, z_t = torch.randn(40, 4), torch.randn(30, 4)
    z_t[:20] = z_s[:20] + 0.1 * torch.randn(20, 4)
    free_s, free_t = free(40, 0, 3, 5, 21), free(30, 1, 2, 5, 29)
    found = MutualNearestProposer(csls_k)(z_s, z_t, free_s, free_t)
    assert found.pairs.size(1) > 5
    assert set(found.pairs[0].tolist()) <= set(free_s.tolist())
    assert set(found.pairs[1].tolist()) <= set(free_t.tolist())
    for side in found.pairs:
        assert side.unique().numel() == side.numel()
    assert torch.equal(found.score, found.score.sort(descending=True).values)
    assert (found.margin > 0).all()
    # Which rows the linked entities have does not matter.
    z_s[[0, 3, 5, 21]], z_t[[1, 2, 5, 29]] = 7.0, -3.0
    again = MutualNearestProposer(csls_k)(z_s, z_t, free_s, free_t)
    assert torch.equal(again.pairs, found.pairs)


@pytest.mark.parametrize("csls_k", [0, 2])
def test_ties_are_dropped(csls_k):
    z = torch.eye(4)
    twins = torch.cat([z, z[:1]])  # the first source has two equal counterparts
    found = MutualNearestProposer(csls_k)(z, twins, free(4), free(5))
    assert sorted(found.pairs[0].tolist()) == [1, 2, 3]
    same = torch.ones(3, 2)
    assert MutualNearestProposer(csls_k)(same, same, free(3), free(3)).pairs.size(1) == 0


def test_a_single_choice_has_a_finite_margin():
    found = MutualNearestProposer(0)(
        torch.randn(3, 2), torch.randn(3, 2), free(3, 0, 1), free(3, 1, 2)
    )
    assert found.pairs.tolist() == [[2], [0]]
    assert found.margin.tolist() == [2.0]


@pytest.mark.parametrize("side", ["source", "target"])
def test_nothing_is_proposed_where_all_are_linked(side):
    free_s, free_t = (
        free(3, 0, 1, 2).long() if name == side else free(3) for name in ("source", "target")
    )
    found = MutualNearestProposer()(torch.randn(3, 2), torch.randn(3, 2), free_s, free_t)
    assert found.pairs.size() == (2, 0)
    assert found.pairs.dtype == torch.long
    assert found.score.size() == found.margin.size() == (0,)
    assert str(MutualNearestProposer()) == "MutualNearestProposer(csls_k=10)"
