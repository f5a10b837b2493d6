import pytest
import torch

from pyg_mmea.baselines import PARIS, Baseline, EmbeddingBaseline, LabelPropagation, NameSimilarity
from pyg_mmea.data import AlignmentData
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.training import Aligner, TrainingConfig
from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE, SIDES, SPLIT_MASKS

ALL = [
    lambda: LabelPropagation(channels=64),
    lambda: LabelPropagation(channels=64, num_rounds=2, feature="name"),
    lambda: PARIS(),
    lambda: NameSimilarity(),
]
IDS = ["labels", "labels and names", "paris", "names"]
everyone = pytest.mark.parametrize("make", ALL, ids=IDS)


@everyone
def test_result_has_the_form_of_a_run(fake: AlignmentData, make) -> None:
    baseline = make().fit(fake)
    chance = 1 / int(fake[ANCHOR_EDGE].test_mask.sum())
    aligner = Aligner(calibrate=False, training=TrainingConfig(epochs=1)).fit(fake, quiet=True)
    for candidates in ("test", "all"):
        for matching in ("none", "mutual", "sinkhorn"):
            out = baseline.evaluate(fake, candidates=candidates, matching=matching)
            like = aligner.evaluate(fake, candidates=candidates, matching=matching)
            assert out.keys() == like.keys()
            assert out["mean"].keys() == like["mean"].keys()
            assert (out["candidates"], out["matching"]) == (candidates, matching)
            assert out["num_links"] == like["num_links"]
            assert out["mean"]["hits@1"] > 5 * chance
    table = baseline.predict(fake)
    # No voters, and no run.
    assert list(table.columns) == list(aligner.predict(fake).columns)[: table.shape[1]]
    assert "confidence" in table


@everyone
def test_predicted_pairs(fake: AlignmentData, make) -> None:
    table = make().fit(fake).predict(fake)
    anchors = fake[ANCHOR_EDGE]
    known = table[table.origin == "known"]
    assert len(known) == int(anchors.train_mask.sum())
    assert table.source.is_unique
    assert table.target.is_unique
    found = table[table.origin == "predicted"]
    assert found.confidence.between(0, 1).all()
    assert found.confidence.is_monotonic_decreasing
    assert table.attrs["abstained"] == fake["source"].num_nodes - len(table)
    links = zip(*anchors.edge_label_index.tolist(), strict=True)
    gold = {(fake["source"].uri[s], fake["target"].uri[t]) for s, t in links}
    right = [pair in gold for pair in zip(found.source, found.target, strict=True)]
    assert sum(right) > 0.5 * len(right)


@everyone
def test_other_links_are_not_seen(fake: AlignmentData, make) -> None:
    expected = make().fit(fake).predict(fake)
    changed = FakeMMKG()[0]
    anchors = changed[ANCHOR_EDGE]
    hidden = (~anchors.train_mask).nonzero().view(-1)
    mixed = anchors.edge_label_index.clone()
    mixed[1, hidden] = mixed[1, hidden.roll(1)]
    anchors.edge_label_index = mixed
    assert make().fit(changed).predict(changed).equals(expected)
    kept = anchors.train_mask
    for key in ("edge_label_index", *SPLIT_MASKS):
        anchors[key] = anchors[key][..., kept]
    assert make().fit(changed).predict(changed).equals(expected)


@everyone
def test_order_of_entities_does_not_matter(fake: AlignmentData, make) -> None:
    expected = make().fit(fake)
    moved = FakeMMKG()[0]
    for row, side in enumerate(SIDES):
        order = torch.randperm(moved[side].num_nodes)  # new id -> old id
        place = order.argsort()
        store = moved[side]
        store.uri = [store.uri[i] for i in order.tolist()]
        store.name = [store.name[i] for i in order.tolist()]
        for key in list(store.keys()):
            if isinstance(store[key], torch.Tensor):
                store[key] = store[key].index_select(0, order)
                store[key] = store[key].coalesce() if store[key].is_sparse else store[key]
        edges = moved[RELATION_EDGE[side]]
        edges.edge_index = place[edges.edge_index]
        links = moved[ANCHOR_EDGE].edge_label_index.clone()
        links[row] = place[links[row]]
        moved[ANCHOR_EDGE].edge_label_index = links
    out = make().fit(moved)
    for matching in ("none", "mutual"):
        measured = out.evaluate(moved, matching=matching)["mean"]
        assert measured == pytest.approx(expected.evaluate(fake, matching=matching)["mean"])
    pairs = [
        set(zip(table.source, table.target, strict=True))
        for table in (expected.predict(fake), out.predict(moved))
    ]
    assert pairs[0] == pairs[1]


@everyone
def test_validation_links_can_join(fake: AlignmentData, make) -> None:
    baseline = make().fit(fake, keep="train+val")
    assert baseline.known.size(1) == int((~fake[ANCHOR_EDGE].test_mask).sum())
    with pytest.raises(ValueError, match="'split' cannot be 'val'"):
        baseline.evaluate(fake, "val")


def test_wrong_use(fake: AlignmentData) -> None:
    baseline = LabelPropagation()
    with pytest.raises(RuntimeError, match="LabelPropagation needs to be fitted"):
        baseline.predict(fake)
    baseline.fit(fake)
    other = FakeMMKG(num_links=20)[0]
    with pytest.raises(ValueError, match="the pair that was fitted"):
        baseline.evaluate(other)
    with pytest.raises(ValueError, match="'val_mask'"):
        baseline.evaluate(FakeMMKG(val_ratio=0.0)[0], "val")


@pytest.mark.parametrize("make", ALL[1:2] + ALL[3:], ids=IDS[1:2] + IDS[3:])
def test_missing_features(make) -> None:
    data = FakeMMKG(features=["relation"])[0]
    with pytest.raises(ValueError, match="'data' needs to have 'name' features"):
        make().fit(data)


@pytest.mark.parametrize("make", [ALL[0], ALL[2]], ids=[IDS[0], IDS[2]])
def test_missing_links(make) -> None:
    with pytest.raises(ValueError, match="'data' needs to have links"):
        make().fit(FakeMMKG(seed_ratio=0.0)[0])


def test_classes() -> None:
    assert issubclass(EmbeddingBaseline, Baseline)
    assert issubclass(NameSimilarity, EmbeddingBaseline)
    assert not issubclass(PARIS, EmbeddingBaseline)
