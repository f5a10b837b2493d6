import pytest
import torch

from pyg_mmea.loss import EVAObjective, NCALoss

CHANNELS = {"structure": 4, "image": 3, "joint": 7}
LINKS = torch.tensor([[0, 1, 2, 3, 4], [5, 0, 2, 1, 3]])


def embeddings(missing=0):
    """Random ones; the first entities of each side lack a picture."""
    out = {}
    for side, num in (("source", 8), ("target", 9)):
        out[side] = {name: torch.randn(num, size) for name, size in CHANNELS.items()}
        out[side]["image"][:missing] = 0
        for x in out[side].values():
            x.requires_grad_()
    return out


def test_terms_equal_their_losses():
    out, weight = embeddings(), torch.rand(5)
    terms = EVAObjective(CHANNELS)(out, LINKS, weight)
    assert list(terms) == list(CHANNELS)
    for name, term in terms.items():
        loss = NCALoss(alpha=5.0 if name == "structure" else 15.0, beta=10.0)
        ends = out["source"][name][LINKS[0]], out["target"][name][LINKS[1]]
        assert torch.allclose(term, loss(*ends, weight, *LINKS)), name
    sum(terms.values()).backward()
    for part in out.values():
        for name, x in part.items():
            assert x.grad.abs().sum() > 0, name


def test_settings_reach_their_losses():
    objective = EVAObjective(CHANNELS, alpha=2.0, structure_alpha=3.0, beta=4.0)
    assert str(objective.losses["structure"]) == "NCALoss(alpha=3.0, beta=4.0)"
    assert str(objective.losses["joint"]) == "NCALoss(alpha=2.0, beta=4.0)"
    assert not objective.state_dict()


def test_missing_modalities_are_no_pairs():
    out = embeddings(missing=2)  # of the links, (0, 5), (1, 0) and (3, 1) lack a picture
    terms = EVAObjective(CHANNELS)(out, LINKS)
    present = LINKS[:, [2, 4]]
    ends = out["source"]["image"][present[0]], out["target"]["image"][present[1]]
    assert torch.allclose(terms["image"], NCALoss()(*ends))
    terms["image"].backward()
    assert torch.equal(out["source"]["image"].grad[:2], torch.zeros(2, 3))
    none = EVAObjective(CHANNELS)(embeddings(missing=9), LINKS)["image"]
    none.backward()
    assert none.item() == 0


@pytest.mark.parametrize("num_links", [0, 1])
def test_few_links(num_links):
    terms = EVAObjective(CHANNELS)(embeddings(), LINKS[:, :num_links])
    assert all(term.isfinite() for term in terms.values())


def test_sides_are_known_by_name():
    out = embeddings()
    objective = EVAObjective(CHANNELS)
    torch.manual_seed(0)
    expected = objective(out, LINKS)
    torch.manual_seed(0)
    turned = objective(dict(reversed(out.items())), LINKS)
    for name, term in expected.items():
        assert torch.allclose(turned[name], term), name
