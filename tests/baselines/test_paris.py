from itertools import product

import numpy as np
import pytest
import torch

from pyg_mmea.baselines import PARIS
from pyg_mmea.data import AlignmentData, GraphTables, make_pair
from pyg_mmea.datasets import FakeMMKG


def pair(triples_s: list, triples_t: list, num: int, num_relations: int, seeds: int):
    """Entity i of either graph is the same; the first ones are seeds."""
    graphs = [
        GraphTables(
            uri=[f"{side}{i}" for i in range(num)],
            triples=torch.tensor(triples),
            relation_uri=[f"{side}r{i}" for i in range(num_relations)],
        )
        for side, triples in (("s", triples_s), ("t", triples_t))
    ]
    train = torch.arange(num) < seeds
    links = torch.arange(num).repeat(2, 1)
    return make_pair(*graphs, links, (train, torch.zeros_like(train), ~train))


def found(paris: PARIS) -> dict[tuple[int, int], float]:
    index, score = paris.scores
    return {
        (s, t): float(value)
        for s, t, value in zip(*index.tolist(), -torch.expm1(-score), strict=True)
    }


def test_one_round_by_hand() -> None:
    # 0 is a seed; 1 is the only entity that r0 leads to from 0, 2 and 3 share r1.
    triples = [[0, 0, 1], [0, 1, 2], [0, 1, 3]]
    data = pair(triples, triples, num=4, num_relations=2, seeds=1)
    out = PARIS(num_iters=1, theta=0.1, min_evidence=1e-6).fit(data)
    # Before inclusion is known, all relations fit one another by 0.1. Of y = 0 to x = 1 leads the
    # inverse of r0, as fun-1(r0 inverse) = |{0}| / 1 = 1; that of r1 has |{0}| / 2 = 0.5.
    # P(1 = 1) = 1 - (1 - 0.1 * 1)^2 = 0.19, P(1 = 2) = 1 - 0.9 * 0.95, P(2 = 2) = 1 - 0.95^2
    # So (1, 1) is assigned; 2 and 3 are tied. Then r0 is part of r0 alone, by 1, and nothing is
    # known of r1: P(1 = 1) is certain, and 2 and 3 have nothing but what 1 says, which is nothing.
    assert found(out) == {
        (0, 0): pytest.approx(1 - (1 - 0.19) ** 2),
        (1, 1): pytest.approx(1.0, abs=1e-8),
    }


def plain(data: AlignmentData, num_iters: int, theta: float, seeds: int):
    """The equations of the paper, fact by fact."""
    facts, sizes = [], []
    for side in ("source", "target"):
        store = data[side, "relation", side]
        num = len(store.relation_uri)
        triples = zip(*store.edge_index.tolist(), store.edge_type.tolist(), strict=True)
        once = {(h, r, t) for h, t, r in triples}
        facts.append(once | {(t, r + num, h) for h, r, t in once})
        sizes.append(data[side].num_nodes)

    def inverse_functionality(some: set, r: int) -> float:
        pairs = [(x, y) for x, other, y in some if other == r]
        return len({y for _, y in pairs}) / len(pairs)

    fun = [{r: inverse_functionality(some, r) for _, r, _ in some} for some in facts]
    same = {(i, i): 1.0 for i in range(seeds)}
    forth = back = None

    def compare() -> np.ndarray:
        rest = np.ones(sizes)
        for (x, r, y), (x2, r2, y2) in product(*facts):
            p = same.get((y, y2), 0.0)
            a = theta if back is None else back.get((r, r2), 0.0)
            b = theta if forth is None else forth.get((r, r2), 0.0)
            rest[x, x2] *= 1 - min(a * fun[0][r] * p, 1 - 1e-9)
            rest[x, x2] *= 1 - min(b * fun[1][r2] * p, 1 - 1e-9)
        return 1 - rest

    for _ in range(num_iters):
        p = compare().round(9)
        p[:seeds] = p[:, :seeds] = 0
        same = {(i, i): 1.0 for i in range(seeds)}
        for x, x2 in zip(*np.nonzero(p >= theta), strict=True):
            if (np.delete(p[x], x2) < p[x, x2]).all() and (np.delete(p[:, x2], x) < p[x, x2]).all():
                same[x, x2] = p[x, x2]
        common: dict = {}
        total: tuple[dict, dict] = ({}, {})
        for (x, r, y), (x2, r2, y2) in product(*facts):
            weight = same.get((x, x2), 0.0) * same.get((y, y2), 0.0)
            common[r, r2] = common.get((r, r2), 0.0) + weight
        for side, some in enumerate(facts):
            p_of = {pair[side]: p for pair, p in same.items()}
            for x, r, y in some:
                weight = p_of.get(x, 0.0) * p_of.get(y, 0.0)
                total[side][r] = total[side].get(r, 0.0) + weight
        forth = {(r, q): c / total[0][r] for (r, q), c in common.items() if c}
        back = {(r, q): c / total[1][q] for (r, q), c in common.items() if c}
    return compare()


@pytest.mark.parametrize("seed", range(3))
def test_equals_plain_loop(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    num, seeds, num_iters = 12, 4, 3
    triples = torch.stack(
        [torch.randint(high, (30,), generator=generator) for high in (num, 3, num)], dim=1
    )
    kept = [(torch.rand(30, generator=generator) < 0.8) for _ in range(2)]
    data = pair(triples[kept[0]].tolist(), triples[kept[1]].tolist(), num, 3, seeds)
    # A threshold below one pair of twelve: it does not stop before.
    out = found(PARIS(num_iters=num_iters, min_evidence=1e-12, tolerance=0).fit(data))
    expected = plain(data, num_iters, 0.1, seeds)
    assert expected.max() > 0.5
    result = np.zeros_like(expected)
    for (s, t), probability in out.items():
        result[s, t] = probability
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_shared_columns_by_hand() -> None:
    data = pair([[0, 0, 1]], [[0, 0, 1]], num=3, num_relations=1, seeds=1)
    # Source: both 1 and 2 have column 0; target: 1 alone. Nobody in the source has column 1.
    for side, bag in (
        ("source", [[0, 0], [2, 0], [1, 0]]),
        ("target", [[0, 0], [1, 0], [0, 1]]),
    ):
        data[side].x_flag = torch.tensor(bag, dtype=torch.float32)
        data[side].flag_mask = data[side].x_flag.any(dim=1)
    out = found(PARIS(num_iters=1, features=["flag"]).fit(data))
    # 1 - (1 - 1/2) (1 - 1): the target's column says that 1 is the only one.
    assert out[2, 1] == pytest.approx(1.0, abs=1e-8)
    assert set(out) == {(0, 0), (1, 1), (2, 1)}
    data["target"].x_flag[2] = torch.tensor([1.0, 1.0])
    out = found(PARIS(num_iters=1, features=["flag"]).fit(data))
    assert out[2, 1] == out[2, 2] == pytest.approx(0.75)
    assert set(out) == {(0, 0), (1, 1), (1, 2), (2, 1), (2, 2)}
    assert (2, 1) not in found(PARIS(num_iters=1, theta=0.6, features=["flag"]).fit(data))
    with pytest.raises(ValueError, match="'data' needs to have 'literal' features"):
        PARIS(features=["literal"]).fit(data)


def test_weak_evidence_is_passed_over(fake: AlignmentData) -> None:
    few, many = (PARIS(min_evidence=each).fit(fake).scores for each in (0.3, 1e-6))
    assert few.score.numel() < many.score.numel()
    assert float(-torch.expm1(-few.score.min())) >= 0.3 - 1e-6


def test_shrinkage_makes_inclusion_less_certain(fake: AlignmentData) -> None:
    scores = [PARIS(num_iters=1, shrinkage=each).fit(fake).scores for each in (0.0, 100.0)]
    assert scores[1].score.max() < scores[0].score.max()


def test_entities_without_a_counterpart() -> None:
    data = FakeMMKG(num_dangling=40)[0]
    table = PARIS().fit(data).predict(data)
    assert len(table) < data["source"].num_nodes
    assert table.attrs["abstained"] > 20


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_iters", 0), ("theta", 0.0), ("min_evidence", 1.0), ("shrinkage", -1), ("tolerance", -1)],
)
def test_arguments(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"'{name}'"):
        PARIS(**{name: value})


def test_repr() -> None:
    assert str(PARIS()) == "PARIS(theta=0.1, shrinkage=0.0)"
