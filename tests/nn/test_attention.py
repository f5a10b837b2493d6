import pytest
import torch

from pyg_mmea.nn.attention import AdaptorSelfAttention, BagTextCrossAttention


def plain_self_attention(module, tokens):
    """One entity, one head and one token at a time."""
    num_heads, normed = module.heads, module.norm(tokens)
    query, key = module.lin_query(normed), module.lin_key(normed)
    value = module.lin_value(tokens)
    size = query.size(-1) // num_heads
    rows = []
    for i in range(tokens.size(0)):
        heads = []
        for h in range(num_heads):
            part = slice(h * size, (h + 1) * size)
            score = torch.stack([query[i, part] @ k[part] for k in key]) / size**0.5
            weight = score.softmax(dim=0)
            heads.append(sum(w * v[part] for w, v in zip(weight, value, strict=True)))
        rows.append(torch.cat(heads))
    out = tokens + module.lin_out(torch.stack(rows))
    return out + module.adaptor(out)


def test_self_attention_equals_plain_loop():
    module = AdaptorSelfAttention(8, heads=2, hidden_channels=4, bottleneck_channels=3)
    assert str(module) == "AdaptorSelfAttention(8, heads=2)"
    x = torch.randn(5, 3, 8)
    out = module(x)
    assert out.size() == (5, 3, 8)
    expected = torch.stack([plain_self_attention(module, tokens) for tokens in x])
    assert torch.allclose(out, expected, atol=1e-5)


def test_self_attention_attends_within_an_entity_and_really():
    module = AdaptorSelfAttention(8)
    x = torch.randn(5, 3, 8)
    weight = module.attention(x)  # [5, heads, 3, 3]
    assert torch.allclose(weight.sum(dim=-1), torch.ones(5, 2, 3))
    assert weight.std() > 0.01
    assert (weight - weight.mean(dim=0)).abs().max() > 0.01  # not the same for all entities

    changed = x.clone()
    changed[2, 1] += torch.randn(8)
    difference = (module(changed) - module(x)).abs().amax(dim=-1) > 1e-6  # [5, 3]
    expected = torch.zeros(5, 3, dtype=torch.bool)
    expected[2] = True  # every token of the entity, and nobody else
    assert torch.equal(difference, expected)


def test_self_attention_is_not_flat_for_small_embeddings():
    module = AdaptorSelfAttention(8)
    x = torch.randn(5, 3, 8)
    spread = module.attention(x).std()
    assert module.attention(1e-2 * x).std() > 0.8 * spread
    assert module.attention(1e2 * x).std() < 1.2 * spread
    # The values are not normalised: a small input is not drowned by the residual branch.
    assert module(1e-2 * x).abs().max() < 0.1 * module(x).abs().max()


def test_cross_attention_text_changes_the_output():
    module = BagTextCrossAttention(8, 6)
    assert str(module) == "BagTextCrossAttention(8, 6, heads=2)"
    bag, text = torch.randn(5, 8), torch.randn(5, 6)
    out = module(bag, text)
    assert out.size() == (5, 8)
    assert torch.equal(out, module(bag, text.unsqueeze(1)))
    changed = text.clone()
    changed[3] = torch.randn(6)
    difference = (module(bag, changed) - out).abs().amax(dim=-1) > 1e-6
    assert difference.tolist() == [False, False, False, True, False]


@pytest.mark.parametrize("num_texts", [1, 3])
def test_cross_attention_weights_are_not_constant(num_texts):
    module = BagTextCrossAttention(8, 6)
    weight = module.attention(torch.randn(5, 8), torch.randn(5, num_texts, 6))
    assert weight.size() == (5, 2, num_texts)
    assert (weight.sum(dim=-1) < 1).all()  # the bag keeps a share of itself
    assert weight.std(dim=0).min() > 1e-3


def test_cross_attention_equals_plain_loop():
    module = BagTextCrossAttention(8, 6, heads=1, hidden_channels=4)
    bag, text = torch.randn(4, 8), torch.randn(4, 3, 6)
    mask = torch.tensor([[True] * 3, [True, False, True], [False, True, False], [False] * 3])
    out = module(bag, text, mask)
    for i in range(4):
        texts = text[i][mask[i]]
        if texts.size(0) == 0:
            assert torch.equal(out[i], bag[i])
            continue
        normed = module.norm(bag[i])
        query = module.lin_query(normed)
        keys = [module.lin_self(normed)] + [module.lin_key(module.norm_text(t)) for t in texts]
        weight = torch.stack([query @ key / 2 for key in keys]).softmax(dim=0)
        mixed = sum(w * module.lin_value(t) for w, t in zip(weight[1:], texts, strict=True))
        expected = bag[i] + module.lin_out(mixed)
        expected = expected + module.adaptor(expected)
        assert torch.allclose(out[i], expected, atol=1e-5)


def test_cross_attention_never_reads_absent_texts():
    module = BagTextCrossAttention(8, 6)
    bag, text = torch.randn(3, 8), torch.randn(3, 6)
    mask = torch.tensor([True, False, True])
    out = module(bag, text, mask)
    assert torch.equal(out[1], bag[1])
    broken = text.masked_fill(~mask.view(-1, 1), float("nan"))
    other = module(bag, broken, mask)
    assert torch.equal(out, other)
    other.sum().backward()
    assert all(p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("make", "sizes"),
    [
        (lambda: AdaptorSelfAttention(8, bottleneck_channels=6), [(5, 3, 8)]),
        (lambda: BagTextCrossAttention(8, 6, bottleneck_channels=6), [(5, 8), (5, 2, 6)]),
    ],
)
def test_attention_gradients_permutation_and_state(make, sizes, dtype):
    module = make().to(dtype)
    inputs = [torch.randn(size, dtype=dtype, requires_grad=True) for size in sizes]
    out = module(*inputs)
    assert out.dtype == dtype
    out.square().sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad.abs().sum() > 0, name
    assert all(x.grad.abs().sum() > 0 for x in inputs)

    perm = torch.randperm(5)
    assert torch.allclose(module(*(x[perm] for x in inputs)), out[perm], atol=1e-5)
    other = make().to(dtype)
    assert not torch.allclose(other(*inputs), out)
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(*inputs), out)
    other.reset_parameters()
    assert not torch.allclose(other(*inputs), out)


def test_attention_dropout_only_in_training():
    for module, inputs in (
        (AdaptorSelfAttention(8, dropout=0.5), [torch.randn(20, 3, 8)]),
        (BagTextCrossAttention(8, 6, dropout=0.5), [torch.randn(20, 8), torch.randn(20, 6)]),
    ):
        assert not torch.allclose(module(*inputs), module(*inputs))
        module.eval()
        assert torch.equal(module(*inputs), module(*inputs))


def test_attention_rejects_bad_input():
    with pytest.raises(ValueError, match="'heads' needs to divide the hidden size 8"):
        AdaptorSelfAttention(8, heads=3)
    with pytest.raises(ValueError, match="'heads' needs to divide the hidden size 8"):
        BagTextCrossAttention(8, 6, heads=0)
    with pytest.raises(ValueError, match=r"'x' needs to have shape \[N, T, 8\]"):
        AdaptorSelfAttention(8)(torch.randn(5, 8))
    module = BagTextCrossAttention(8, 6)
    with pytest.raises(ValueError, match=r"'text' \[N, T, 6\]"):
        module(torch.randn(5, 8), torch.randn(4, 6))
    with pytest.raises(ValueError, match="'mask' needs to have shape"):
        module(torch.randn(5, 8), torch.randn(5, 6), torch.ones(4, dtype=torch.bool))
