import torch
import torch.nn.functional as F

from pyg_mmea.loss import AlignmentKLLoss, BatchSimilarity, InfoNCELoss


def pairs():
    return [torch.randn(6, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]


def test_batch_similarity_has_the_cosines():
    x_s, x_t = pairs()
    similarity = BatchSimilarity(x_s, x_t)
    assert similarity.num_links == 6
    for name, (a, b) in {"inter": (x_s, x_t), "own_s": (x_s, x_s), "own_t": (x_t, x_t)}.items():
        expected = F.cosine_similarity(a.unsqueeze(1), b.unsqueeze(0), dim=2)
        assert torch.allclose(getattr(similarity, name), expected)
        assert getattr(similarity, name) is getattr(similarity, name)
    constant = similarity.detached()
    assert torch.equal(constant.inter, similarity.inter)
    assert not constant.inter.requires_grad


def test_losses_that_share_similarities_are_as_each_alone():
    x_s, x_t = pairs()
    joint_s, joint_t = pairs()
    contrast, kl = InfoNCELoss(), AlignmentKLLoss()
    similarity, joint = BatchSimilarity(x_s, x_t), BatchSimilarity(joint_s, joint_t)
    shared = contrast.of(similarity) + contrast.of(joint)
    shared = shared + kl.of(similarity, kl.log_distributions(joint.detached()))
    alone = contrast(x_s, x_t) + contrast(joint_s, joint_t) + kl(x_s, x_t, joint_s, joint_t)
    assert torch.allclose(shared, alone)
    inputs = (x_s, x_t, joint_s, joint_t)
    for grad, other in zip(
        torch.autograd.grad(shared, inputs), torch.autograd.grad(alone, inputs), strict=True
    ):
        assert torch.allclose(grad, other)


def test_batch_similarity_of_half_precision_is_single():
    x = torch.randn(3, 4).half()
    assert BatchSimilarity(x, x).inter.dtype == torch.float32
