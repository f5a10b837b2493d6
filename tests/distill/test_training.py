import copy
from dataclasses import replace

import pytest
import torch
from torch_geometric.data import HeteroData

from pyg_mmea.distill import DistillConfig, Student, distill
from pyg_mmea.distill.training import _Batches, _Pairs
from pyg_mmea.metrics import evaluate_alignment
from pyg_mmea.training import Aligner
from pyg_mmea.typing import ANCHOR_EDGE, SIDES


def _hits(student: Student, data: HeteroData) -> float:
    anchors = data[ANCHOR_EDGE]
    z = student.embed(data)
    links = anchors.edge_label_index[:, anchors.test_mask]
    return evaluate_alignment(z["source"], z["target"], links)["mean"]["hits@1"]


def test_student_learns(pair, teacher: Aligner, student: Student, config) -> None:
    untrained = distill(pair, teacher, replace(config, epochs=1, lr=1e-9))
    assert _hits(student, pair) > max(0.7, _hits(untrained, pair) + 0.1)
    result = student.result
    assert result["selection"] == "validation"
    assert result["epoch"] in (5, 10, 15, 20)
    assert result["val"]["num_links"] == int(pair[ANCHOR_EDGE].val_mask.sum())
    assert result["config"]["channels"] == 16
    assert not student.encoder.training


def test_seed_decides_alone(pair, teacher: Aligner, config) -> None:
    few = replace(config, epochs=2, modalities=["image"])
    state = torch.get_rng_state()
    first, again, other = (distill(pair, teacher, replace(few, seed=seed)) for seed in (1, 1, 2))
    assert torch.get_rng_state().equal(state)
    z, z_again, z_other = (x.embed(pair)["source"] for x in (first, again, other))
    assert z.equal(z_again)
    assert not z.allclose(z_other)


def test_test_links_are_not_read(pair, teacher: Aligner, config) -> None:
    few = replace(config, epochs=2)
    shuffled = copy.deepcopy(pair)
    anchors = shuffled[ANCHOR_EDGE]
    hidden = anchors.test_mask.nonzero().view(-1)
    anchors.edge_label_index[1, hidden] = anchors.edge_label_index[1, hidden.flip(0)]
    expected = distill(pair, teacher, few).encoder.state_dict()
    got = distill(shuffled, teacher, few).encoder.state_dict()
    assert all(got[name].equal(x) for name, x in expected.items())


def test_validation_links_are_held_back_where_the_run_did(pair, teacher: Aligner) -> None:
    anchors = pair[ANCHOR_EDGE]
    val = anchors.edge_label_index[:, anchors.val_mask]
    pairs = _Pairs.read(pair, teacher)
    assert pairs.val.equal(val)
    assert not any(torch.isin(x, y).any() for x, y in zip(pairs.links, val, strict=True))
    refitted = copy.copy(teacher)
    refitted._kept = {**teacher._state, "refitted": True}
    pairs = _Pairs.read(pair, refitted)
    assert pairs.val.size(1) == 0
    assert torch.isin(val[0], pairs.links[0]).all()


def test_no_entity_twice_in_a_batch() -> None:
    links = torch.tensor([[0, 1, 2], [5, 4, 3]])
    weight = torch.tensor([1.0, 0.5, 0.2])
    pairs = _Pairs(links, weight, links[:, :0])
    sizes = {"source": 9, "target": 7}
    nobody = dict.fromkeys(SIDES, links[0, :0])
    batches = _Batches(pairs, sizes, 3, nobody)
    assert len(batches) == 2
    seen = list(batches)
    assert len(seen) == 2
    ids, weights = torch.cat([x for x, _ in seen], dim=1), torch.cat([w for _, w in seen])
    assert ids.size(1) == 3 + 4
    assert all(x.unique().numel() == 7 for x in ids)
    assert torch.isin(torch.arange(7), ids[1]).all()
    known = {tuple(pair): w for pair, w in zip(links.t().tolist(), weight.tolist(), strict=True)}
    for link, w in zip(ids.t().tolist(), weights.tolist(), strict=True):
        assert w == pytest.approx(known.get(tuple(link), 0.0))

    unseen = {"source": torch.tensor([1]), "target": torch.tensor([3, 6])}
    ids = torch.cat([x for x, _ in _Batches(pairs, sizes, 3, unseen)], dim=1)
    for x, side in zip(ids, SIDES, strict=True):
        assert not torch.isin(unseen[side], x).any()
    assert [0, 5] in ids.t().tolist()
    assert ids.size(1) == 5  # all seen targets


def test_unseen_entities_are_no_examples(pair, teacher: Aligner, config) -> None:
    few = replace(config, epochs=2, hops=0)
    unseen = {"source": torch.arange(0, 20), "target": torch.arange(5, 30)}
    changed = copy.copy(teacher)
    z = {side: x.clone() for side, x in teacher.embeddings.items()}
    for side in SIDES:
        z[side][unseen[side]] *= -1  # leaves principal components as they are
    changed._kept = {**teacher._state, "embeddings": z}
    results = [
        distill(pair, run, few, ids).embed(pair)["source"]
        for run in (teacher, changed)
        for ids in (None, unseen)
    ]
    torch.testing.assert_close(results[1], results[3], atol=1e-4, rtol=0)
    assert not results[0].allclose(results[2], atol=1e-2)


def test_confident_pairs_do_not_repeat_an_entity(pair, teacher: Aligner) -> None:
    doubled = copy.copy(teacher)
    alignment = copy.copy(teacher.alignment)
    alignment["known"] = torch.cat([alignment["known"], alignment["known"][:, :1]], dim=1)
    doubled._kept = {**teacher._state, "alignment": {**alignment, "votes": None}}
    links = _Pairs.read(pair, doubled).links
    assert all(ids.unique().numel() == ids.numel() for ids in links)


def test_wrong_input(pair, teacher: Aligner, fake) -> None:
    fake["source"].uri = fake["source"].uri[::-1]
    with pytest.raises(ValueError, match="its entities are in another order"):
        distill(fake, teacher)
    with pytest.raises(ValueError, match="'modalities'"):
        distill(pair, teacher, DistillConfig(modalities=["smell"]))
    for name in ("epochs", "batch_size", "val_every"):
        with pytest.raises(ValueError, match=f"'{name}' needs to be at least 1"):
            DistillConfig(**{name: 0})
    with pytest.raises(ValueError, match="'lr' needs to be positive"):
        DistillConfig(lr=0)
    for name in ("weight_decay", "link_weight"):
        with pytest.raises(ValueError, match=f"'{name}' needs to be at least 0"):
            DistillConfig(**{name: -1})
    broken = copy.deepcopy(pair)
    broken["source"].x_image[broken["source"].image_mask] = torch.inf
    with pytest.raises(RuntimeError, match="loss of epoch 1 is not finite"):
        distill(broken, teacher, DistillConfig(epochs=1))


def test_links_weigh_in(pair, teacher: Aligner, config) -> None:
    few = replace(config, epochs=1)
    without, beside = (
        distill(pair, teacher, replace(few, link_weight=weight)).embed(pair) for weight in (0, 1)
    )
    assert not any(without[side].allclose(beside[side]) for side in SIDES)
