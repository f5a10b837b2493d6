import pytest
import torch
import torch.nn.functional as F

from pyg_mmea.loss import InfoNCELoss, MEAformerObjective

SIZES = {"structure": 4, "image": 3}
CHANNELS = {**SIZES, "late": 10, "joint": 7}
LINKS = torch.tensor([[0, 1, 2, 3, 4], [5, 0, 2, 1, 3]])
TERMS = ["global", "early", "late", "contrast", "late_contrast"]


def embeddings(missing=0):
    """What a MEAformer returns: weights are the lengths of blocks; the first entities of each side
    lack a picture."""
    out = {}
    for side, num in (("source", 8), ("target", 9)):
        parts = {name: torch.randn(num, size) for name, size in SIZES.items()}
        hidden = [torch.randn(num, 5) for _ in SIZES]
        weight = torch.rand(num, 2).softmax(dim=1)
        weight[:missing, 1] = 0
        parts["image"][:missing] = 0
        for name, blocks in (("late", hidden), ("joint", [parts["structure"], parts["image"]])):
            scaled = [
                F.normalize(x) * w.view(-1, 1) for x, w in zip(blocks, weight.t(), strict=True)
            ]
            parts[name] = torch.cat(scaled, dim=1)
        out[side] = {name: x.detach().requires_grad_() for name, x in parts.items()}
    return out


def rows(out, name, links=LINKS):
    return out["source"][name][links[0]], out["target"][name][links[1]]


def plain_trust(out, name, links=LINKS):
    """The smaller length of the block of a modality, link by link."""
    block = slice(0, 4) if name == "structure" else slice(4, 7)
    z_s, z_t = out["source"]["joint"], out["target"]["joint"]
    return torch.tensor(
        [min(z_s[i, block].norm().item(), z_t[j, block].norm().item()) for i, j in links.t()]
    )


def test_terms_equal_their_losses():
    out, weight = embeddings(), torch.rand(5)
    objective = MEAformerObjective(CHANNELS, temperature=0.2)
    terms = objective(out, LINKS, weight)
    assert list(terms) == TERMS
    loss = InfoNCELoss(0.2)
    for name, key in (("early", "joint"), ("late", "late")):
        assert torch.allclose(terms[name], loss(*rows(out, key), weight))
    # All global weights are alike, and all log-variances zero.
    whole = [
        torch.cat([F.normalize(rows(out, name)[side]) for name in SIZES], dim=1) for side in (0, 1)
    ]
    assert torch.allclose(terms["global"], loss(*whole, weight))
    trust = {name: weight * plain_trust(out, name) for name in SIZES}
    expected = sum(loss(*rows(out, name), trust[name]) for name in SIZES)
    assert torch.allclose(terms["contrast"], expected)
    late = [x.chunk(2, dim=1) for x in rows(out, "late")]
    expected = sum(loss(late[0][m], late[1][m], trust[name]) for m, name in enumerate(SIZES))
    assert torch.allclose(terms["late_contrast"], expected)


def test_everything_is_trained():
    out = embeddings()
    objective = MEAformerObjective(CHANNELS)
    sum(objective(out, LINKS).values()).backward()
    for part in out.values():
        for name, x in part.items():
            assert x.grad.abs().sum() > 0, name
    for name, parameter in objective.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("term", TERMS)
def test_weight_scales_a_term_or_leaves_it_out(term):
    out = embeddings()
    plain = MEAformerObjective(CHANNELS)(out, LINKS)
    double = MEAformerObjective(CHANNELS, **{f"{term}_weight": 2.0})(out, LINKS)
    without = MEAformerObjective(CHANNELS, **{f"{term}_weight": 0.0})(out, LINKS)
    assert torch.allclose(double[term], 2 * plain[term])
    assert list(without) == [name for name in TERMS if name != term]


def test_missing_modalities_are_no_pairs():
    out = embeddings(missing=2)  # of the links, (0, 5), (1, 0) and (3, 1) lack a picture
    terms = MEAformerObjective(CHANNELS)(out, LINKS)
    present = LINKS[:, [2, 4]]
    loss = InfoNCELoss(0.1)
    expected = loss(*rows(out, "structure"), plain_trust(out, "structure"))
    expected += loss(*rows(out, "image", present), plain_trust(out, "image", present))
    assert torch.allclose(terms["contrast"], expected)
    terms["contrast"].backward()
    assert not out["source"]["image"].grad[:2].any()
    objective = MEAformerObjective(CHANNELS)
    terms = objective(embeddings(missing=9), LINKS)  # nobody has one
    sum(terms.values()).backward()
    assert (objective.contrast_balance.log_variance.grad != 0).tolist() == [True, False]


def test_without_links_the_loss_is_finite():
    terms = MEAformerObjective(CHANNELS)(embeddings(), LINKS[:, :0])
    total = sum(terms.values())
    total.backward()
    assert total.isfinite()


def test_sizes_of_another_model():
    with pytest.raises(ValueError, match="'channels' needs to be those of a MEAformer"):
        MEAformerObjective({"structure": 4, "joint": 4})
    with pytest.raises(ValueError, match="'channels' needs to be those of a MEAformer"):
        MEAformerObjective({"structure": 4, "late": 4, "joint": 5})


def test_state_dict_round_trip():
    first, second = MEAformerObjective(CHANNELS), MEAformerObjective(CHANNELS)
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.normal_()
    out = embeddings()
    assert second(out, LINKS)["contrast"] != first(out, LINKS)["contrast"]
    second.load_state_dict(first.state_dict())
    assert second(out, LINKS)["contrast"] == first(out, LINKS)["contrast"]


def test_reset_parameters():
    objective = MEAformerObjective(CHANNELS)
    with torch.no_grad():
        for parameter in objective.parameters():
            parameter.fill_(100.0)
    objective.reset_parameters()
    assert all(parameter.abs().max() < 2 for parameter in objective.parameters())


def test_sides_are_known_by_name():
    out = embeddings()
    objective = MEAformerObjective(CHANNELS)
    torch.manual_seed(0)
    expected = objective(out, LINKS)
    torch.manual_seed(0)
    turned = objective(dict(reversed(out.items())), LINKS)
    for name, term in expected.items():
        assert torch.allclose(turned[name], term), name
