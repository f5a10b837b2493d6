import pytest
import torch

from pyg_mmea.loss import InfoNCELoss
from pyg_mmea.loss.objective import PCMEAObjective

CHANNELS = {"structure": 4, "image": 3, "joint": 7}
LINKS = torch.tensor([[0, 1, 2, 3, 4], [5, 0, 2, 1, 3]])
TERMS = ["soft", "contrast", "kl", "mi", "momentum"]
UNIT = {f"{name}_weight": 1.0 for name in TERMS}


def embeddings(missing=0, requires_grad=True):
    """Random ones; the first entities of each side lack a picture."""
    out = {}
    for side, num in (("source", 8), ("target", 9)):
        out[side] = {name: torch.randn(num, size) for name, size in CHANNELS.items()}
        out[side]["image"][:missing] = 0
        for x in out[side].values():
            x.requires_grad_(requires_grad)
    return out


def leaves(out):
    return {f"{side} {name}": x for side, part in out.items() for name, x in part.items()}


def test_all_terms_are_there_and_train_everything():
    objective = PCMEAObjective(CHANNELS, **UNIT)
    out, momentum = embeddings(), embeddings()
    terms = objective(out, LINKS, momentum=momentum)
    assert list(terms) == TERMS
    assert all(term.dim() == 0 and term.isfinite() for term in terms.values())
    sum(terms.values()).backward()
    for name, x in (*leaves(out).items(), *objective.named_parameters()):
        assert x.grad is not None, name
        assert x.grad.abs().sum() > 0, name
    assert any("critic" in name for name, _ in objective.named_parameters())
    assert all(x.grad is None for x in leaves(momentum).values())


@pytest.mark.parametrize("term", TERMS)
def test_weight_scales_a_term_or_leaves_it_out(term):
    out, momentum = embeddings(), embeddings()

    def run(weight):
        torch.manual_seed(0)
        objective = PCMEAObjective(CHANNELS, **{**UNIT, f"{term}_weight": weight})
        torch.manual_seed(1)
        return objective(out, LINKS, momentum=momentum)

    plain, double, without = run(1.0), run(2.0), run(0.0)
    assert list(without) == [name for name in TERMS if name != term]
    assert torch.allclose(double[term], 2 * plain[term])
    if term == "mi":
        assert not PCMEAObjective(CHANNELS, mi_weight=0.0).information


def test_momentum_term_needs_momentum_embeddings():
    objective = PCMEAObjective(CHANNELS, **UNIT)
    assert list(objective(embeddings(), LINKS)) == TERMS[:-1]


def test_terms_equal_their_losses():
    out, momentum = embeddings(), embeddings()
    objective = PCMEAObjective(CHANNELS, contrast_size=100, **UNIT)
    terms = objective(out, LINKS, momentum=momentum)

    def rows(x, name):
        return x["source"][name][LINKS[0]], x["target"][name][LINKS[1]]

    # All log-variances are zero, and with few links and entities all are in the sample.
    contrast = sum(InfoNCELoss(0.1)(*rows(out, name)) for name in CHANNELS)
    assert torch.allclose(terms["contrast"], contrast)
    kl = sum(objective.kl(*rows(out, name), *rows(out, "joint")) for name in ("structure", "image"))
    assert torch.allclose(terms["kl"], kl)
    assert torch.allclose(
        terms["momentum"], objective.moco(*rows(out, "joint"), *rows(momentum, "joint"))
    )
    z_s, z_t = out["source"]["joint"], out["target"]["joint"]
    soft = objective.soft(*rows(out, "joint"), z_s, z_t, *LINKS, torch.arange(8), torch.arange(9))
    assert torch.allclose(terms["soft"], soft)


def test_weights_of_links():
    out, momentum = embeddings(), embeddings()
    objective = PCMEAObjective(CHANNELS, **{**UNIT, "mi_weight": 0.0})
    weight = torch.tensor([1.0, 0.0, 2.0, 0.5, 0.0])
    terms = objective(out, LINKS, weight=weight, momentum=momentum)
    uniform = objective(out, LINKS, weight=torch.full((5,), 0.3), momentum=momentum)
    plain = objective(out, LINKS, momentum=momentum)
    for name, term in plain.items():
        assert torch.allclose(uniform[name], term), name
        assert not torch.allclose(terms[name], term), name


def test_samples_are_as_large_as_asked_for():
    out = embeddings()
    objective = PCMEAObjective(CHANNELS, contrast_size=3, **{**UNIT, "mi_weight": 0.0})
    terms = objective(out, LINKS)
    (terms["contrast"] + terms["kl"]).backward()
    assert (out["source"]["image"].grad.abs().sum(dim=1) > 0).sum() == 3
    out["source"]["joint"].grad = None
    negatives = {"source": torch.tensor([4, 5]), "target": torch.tensor([0])}
    terms = objective(out, LINKS[:, :1], negatives=negatives)
    terms["soft"].backward()
    touched = out["source"]["joint"].grad.abs().sum(dim=1).nonzero().view(-1)
    assert touched.tolist() == sorted({int(LINKS[0, 0]), 4, 5})


def test_all_entities_are_negatives_by_default():
    out = embeddings()
    objective = PCMEAObjective(CHANNELS, **UNIT)
    sizes = {side: part["joint"].size(0) for side, part in out.items()}
    negatives = {side: torch.arange(size) for side, size in sizes.items()}
    expected = objective(out, LINKS, negatives=negatives)["soft"]
    assert torch.equal(objective(out, LINKS)["soft"], expected)


def test_same_seed_same_terms():
    out, momentum = embeddings(), embeddings()
    objective = PCMEAObjective(CHANNELS, contrast_size=3, **UNIT)

    def run(seed):
        torch.manual_seed(seed)
        terms = objective(out, LINKS, momentum=momentum)
        return torch.stack(list(terms.values()))

    assert torch.equal(run(0), run(0))
    assert not torch.equal(run(0), run(1))


def test_missing_modalities_are_no_pairs():
    out = embeddings(missing=2)  # of the links, (0, 5), (1, 0) and (3, 1) lack a picture
    objective = PCMEAObjective(CHANNELS, contrast_size=100, **UNIT)
    terms = objective(out, LINKS)
    present = LINKS[:, [2, 4]]
    expected = sum(
        InfoNCELoss(0.1)(out["source"][name][links[0]], out["target"][name][links[1]])
        for name, links in (("structure", LINKS), ("image", present), ("joint", LINKS))
    )
    assert torch.allclose(terms["contrast"], expected)
    sum(terms.values()).backward()
    for side in ("source", "target"):
        assert torch.equal(out[side]["image"].grad[:2], torch.zeros(2, 3))

    out = embeddings(missing=9)  # nobody has one
    objective.zero_grad()
    terms = objective(out, LINKS)
    sum(terms.values()).backward()
    names = objective.contrast_balance.names
    assert (objective.contrast_balance.log_variance.grad != 0).tolist() == [
        name != "image" for name in names
    ]


def test_without_links_the_loss_is_finite():
    out = embeddings()
    terms = PCMEAObjective(CHANNELS, **UNIT)(out, LINKS[:, :0], momentum=embeddings())
    total = sum(terms.values())
    total.backward()
    assert total.isfinite()
    assert terms["soft"].item() == 0


def test_state_dict_round_trip():
    out = embeddings()
    first, second = (PCMEAObjective(CHANNELS, **UNIT) for _ in range(2))
    second.load_state_dict(first.state_dict())
    values = []
    for objective in (first, second):
        torch.manual_seed(0)
        values.append(objective(out, LINKS)["mi"])
    assert torch.equal(*values)


@pytest.mark.parametrize("bound", ["dv", "infonce", "jsd"])
def test_bounds_of_the_mutual_information(bound):
    objective = PCMEAObjective(CHANNELS, mi_bound=bound, **UNIT)
    assert objective(embeddings(), LINKS)["mi"].isfinite()
    with pytest.raises(ValueError, match="'bound' needs to be one of"):
        PCMEAObjective(CHANNELS, mi_bound="nope")


def test_reset_parameters():
    objective = PCMEAObjective(CHANNELS)
    with torch.no_grad():
        for parameter in objective.parameters():
            parameter.fill_(100.0)
    objective.reset_parameters()
    assert all(parameter.abs().max() < 2 for parameter in objective.parameters())


def test_sides_are_known_by_name():
    out, momentum = embeddings(), embeddings()
    objective = PCMEAObjective(CHANNELS, **UNIT)
    torch.manual_seed(0)
    expected = objective(out, LINKS, momentum=momentum)
    torch.manual_seed(0)
    turned = objective(dict(reversed(out.items())), LINKS, momentum=momentum)
    for name, term in expected.items():
        assert torch.allclose(turned[name], term), name
