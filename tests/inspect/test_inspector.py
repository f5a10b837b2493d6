from pathlib import Path

import pytest
import torch
from PIL import Image
from torch_geometric.data import HeteroData

from pyg_mmea.calibration import Ledger
from pyg_mmea.calibration.ledger import LEDGER_NAME
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.inspect import EntityCard, Inspector, PairEvidence, Relation, Vote
from pyg_mmea.training import Aligner, TrainingConfig
from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inspect") / "run"
    config = TrainingConfig(
        epochs=8, switch_epoch=1, round_every=1, num_negatives=20, accelerator="cpu"
    )
    aligner = Aligner(training=config)
    aligner.calibrator.precision = 0
    aligner.fit(FakeMMKG()[0], folder, quiet=True)
    return folder


@pytest.fixture
def data() -> HeteroData:
    return FakeMMKG()[0]


@pytest.fixture
def inspector(run: Path, data: HeteroData) -> Inspector:
    return Inspector(data, Aligner.load(run), Ledger(run / LEDGER_NAME).read())


def test_card(inspector: Inspector, data: HeteroData) -> None:
    card = inspector.card("target", 3)
    assert isinstance(card, EntityCard)
    assert card.uri == data["target"].uri[3]
    assert card.label == data["target"].name[3]
    assert card.image.problem == "no picture"
    edges = data[RELATION_EDGE["target"]].edge_index
    assert card.degree == int((edges == 3).sum())
    for relation in card.relations:
        assert isinstance(relation, Relation)
        ends = [3, relation.neighbor] if relation.outgoing else [relation.neighbor, 3]
        assert ends in edges.t().tolist()
        assert relation.neighbor_label == data["target"].name[relation.neighbor]
    columns = data["target"].x_attribute.to_dense()[3].nonzero().view(-1).tolist()
    names = [data.attribute_vocabulary[i].rpartition("/")[2] for i in columns]
    assert sorted(name for name, _ in card.attributes) == sorted(names)
    lacks = [name for name in card.missing if bool(data["target"][f"{name}_mask"][3])]
    assert lacks == []
    with pytest.raises(ValueError, match="'source' entities are in"):
        inspector.card("source", data["source"].num_nodes)


def test_relations_are_capped_and_rare_ones_first(run: Path, data: HeteroData) -> None:
    inspector = Inspector(data, Aligner.load(run), max_relations=2)
    assert max(len(inspector.card("source", i).relations) for i in range(30)) == 2
    assert max(inspector.card("source", i).degree for i in range(30)) > 2


def test_candidate(inspector: Inspector) -> None:
    assert inspector.confidence.tolist() == sorted(inspector.confidence.tolist(), reverse=True)
    source, target = inspector.pairs[:, 0].tolist()
    pair = inspector.pair(source, target)
    assert isinstance(pair, PairEvidence)
    assert (pair.source.id, pair.target.id) == (source, target)
    assert pair.confidence == pytest.approx(float(inspector.confidence[0]))
    assert pair.margin == pytest.approx(float(inspector.margin[0]))
    assert "structure" in [vote.voter for vote in pair.votes]
    for vote in pair.votes:
        assert isinstance(vote, Vote)
        assert (vote.agrees is None) == (vote.rank != vote.rank)
    nearest = dict(inspector.nearest("source", source, 70))
    assert nearest[target] == pytest.approx(pair.similarity, abs=1e-5)
    assert list(nearest.values()) == sorted(nearest.values(), reverse=True)


def test_votes_belong_to_their_pairs(inspector: Inspector) -> None:
    # The last round of the ledger and the final votes differ in training only, not in who abstains.
    accepted = [entry for entry in inspector.entries if entry["decision"] == "accept"]
    checked = 0
    for entry in accepted:
        pair = inspector.pair(*entry["pair"])
        assert entry in pair.history
        for vote in pair.votes:
            checked += 1
            assert (vote.agrees is None) == (entry["votes"][vote.voter]["agrees"] is None)
    assert checked > 0


def test_truth_and_shared_neighbours(inspector: Inspector, data: HeteroData) -> None:
    anchors = data[ANCHOR_EDGE]
    links = anchors.edge_label_index
    for split in ("train", "val", "test"):
        source, target = links[:, anchors[f"{split}_mask"]][:, 0].tolist()
        assert inspector.pair(source, target).truth == split
        assert inspector.counterparts("source", source) == [target]
        assert inspector.counterparts("target", target) == [source]
    other = int(links[1, 5])
    assert inspector.pair(source, other).truth == "wrong"
    dangling = [
        next(i for i in range(data[side].num_nodes) if not bool((links[row] == i).any()))
        for row, side in enumerate(("source", "target"))
    ]
    assert inspector.pair(*dangling).truth == "unknown"
    counts = [inspector.pair(*pair).num_shared for pair in links.t().tolist()]
    assert sum(counts) > 2 * len(counts)
    pair = inspector.pair(*links[:, counts.index(max(counts))].tolist())
    flags = [relation.shared for relation in pair.source.relations]
    assert flags == sorted(flags, reverse=True)
    assert {r.neighbor for r in pair.source.relations if r.shared}
    assert not any(r.shared for r in inspector.card("source", pair.source.id).relations)
    known = inspector.pair(*inspector.known[:, 0].tolist())
    assert (known.confidence, known.margin, known.votes) == (None, None, ())


def test_judged_reads_test_links_alone(inspector: Inspector, data: HeteroData) -> None:
    anchors = data[ANCHOR_EDGE]
    links = anchors.edge_label_index
    known, right = inspector.judged(links)
    assert torch.equal(known, anchors.test_mask)
    assert torch.equal(right, anchors.test_mask)
    assert torch.equal(inspector.test_links, links[:, anchors.test_mask])


def test_runs_of_older_versions_and_other_data(run: Path, data: HeteroData) -> None:
    aligner = Aligner.load(run)
    del aligner._state["alignment"]["votes"]
    inspector = Inspector(data, aligner)
    pair = inspector.pair(*inspector.pairs[:, 0].tolist())
    assert pair.votes == pair.history == ()
    assert pair.confidence is not None
    data["source"].uri = data["source"].uri[::-1]
    with pytest.raises(ValueError, match="the pair that was fitted"):
        Inspector(data, aligner)


def test_pictures_and_hostile_names(run: Path, data: HeteroData, tmp_path: Path) -> None:
    Image.new("RGB", (400, 400), "blue").save(tmp_path / "a.png")
    paths: list[str | None] = [None] * data["source"].num_nodes
    paths[:2] = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    data["source"].image_path = paths
    data["source"].name[0] = "<script>\u202ealert(1)</script>\0" + "x" * 10_000
    data["source"].name[1] = ""
    inspector = Inspector(data, Aligner.load(run), image_size=50)
    first, second = inspector.card("source", 0), inspector.card("source", 1)
    assert first.image.width == 50
    assert first.label.startswith("<script>alert(1)</script>�x")
    assert len(first.label) <= 120
    assert second.image.problem == "the file is missing"
    assert second.label == "1"
