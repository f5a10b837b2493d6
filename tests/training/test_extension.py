import copy
import logging
from functools import partial

import pytest
import torch

from pyg_mmea.calibration import Calibrator, Ledger
from pyg_mmea.calibration.ledger import LEDGER_NAME
from pyg_mmea.data import DropModality, PivotAnchors
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.nn import PCMEA
from pyg_mmea.training import Aligner, Decision, Decisions, TrainingConfig
from pyg_mmea.training.extension import entity_vectors
from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE, SIDES, SPLIT_MASKS

SETTINGS = {"epochs": 4, "val_every": 2, "switch_epoch": 2, "round_every": 1, "refit_epochs": 1}


def _aligner() -> Aligner:
    return Aligner(training=TrainingConfig(**SETTINGS))


def hide(data, every):
    """The pair without a share of its links, both their ends and all triples of these."""
    out = copy.copy(data)
    links = data[ANCHOR_EDGE].edge_label_index
    gone = torch.arange(links.size(1)) % every == 0
    row_of = []
    for side, ends in zip(SIDES, links, strict=True):
        kept = ~torch.isin(torch.arange(data[side].num_nodes), ends[gone])
        rows = kept.nonzero().view(-1)
        row_of.append(torch.where(kept, kept.cumsum(0) - 1, -1))
        for key, value in list(out[side].items()):
            if isinstance(value, list):
                out[side][key] = [value[row] for row in rows.tolist()]
            elif isinstance(value, torch.Tensor):
                value = value.index_select(0, rows)
                out[side][key] = value.coalesce() if value.is_sparse else value
        out[side].num_nodes = rows.numel()
        edges = out[RELATION_EDGE[side]]
        ends = row_of[-1][edges.edge_index]
        stay = (ends >= 0).all(dim=0)
        edges.edge_index, edges.edge_type = ends[:, stay], edges.edge_type[stay]
    anchors = out[ANCHOR_EDGE]
    links = torch.stack([rows[ends] for rows, ends in zip(row_of, links, strict=True)])
    anchors.edge_label_index = links[:, ~gone]
    for mask in SPLIT_MASKS:
        anchors[mask] = anchors[mask][~gone]
    return out


@pytest.fixture(scope="module")
def whole():
    return FakeMMKG(num_links=120)[0]


@pytest.fixture(scope="module")
def part(whole):
    return hide(whole, 5)


@pytest.fixture(scope="module")
def folder(part, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    _aligner().fit(part, folder, quiet=True)
    return folder


@pytest.fixture(scope="module")
def aligner(folder):
    return Aligner.load(folder)


@pytest.fixture(scope="module")
def extended(aligner, whole):
    return aligner.extend(whole)


def test_nothing_new_gives_what_was_there(aligner, part):
    again = aligner.extend(part)
    for side in SIDES:
        torch.testing.assert_close(again.embeddings[side], aligner.embeddings[side])
    before, after = aligner.predict(part), again.predict(part)
    assert before["source"].tolist() == after["source"].tolist()
    assert before["target"].tolist() == after["target"].tolist()
    assert before["confidence"].tolist() == pytest.approx(after["confidence"].tolist(), abs=1e-5)
    assert again.predict(part, only_new=True).empty


def test_new_entities_are_aligned(aligner, extended, whole, part):
    with pytest.raises(ValueError, match="its entities differ"):
        aligner.predict(whole)
    old = {uri for side in SIDES for uri in part[side].uri}
    table = extended.predict(whole, only_new=True)
    assert len(table) > 0
    assert not (table["source"].isin(old) & table["target"].isin(old)).any()
    assert extended.predict(whole)["source"].isin(old).any()
    assert extended.evaluate(whole)["mean"]["hits@1"] > 0.2
    with pytest.raises(ValueError, match="'only_new' needs"):
        aligner.predict(part, only_new=True)


def permuted(data):
    """The same pair with its entities in reverse order."""
    out = copy.copy(data)
    for side in SIDES:
        store, num_nodes = out[side], data[side].num_nodes
        for key, value in list(store.items()):
            if isinstance(value, list):
                store[key] = value[::-1]
            elif isinstance(value, torch.Tensor):
                index = torch.arange(num_nodes).flip(0)
                value = value.index_select(0, index)
                store[key] = value.coalesce() if value.is_sparse else value
        edges = out[RELATION_EDGE[side]]
        edges.edge_index = num_nodes - 1 - edges.edge_index
    sizes = torch.tensor([[data[side].num_nodes] for side in SIDES])
    out[ANCHOR_EDGE].edge_label_index = sizes - 1 - data[ANCHOR_EDGE].edge_label_index
    return out


def links_of(table):
    return set(zip(table["source"], table["target"], strict=True))


def test_order_does_not_matter(extended, aligner, whole):
    other = permuted(whole)
    table, again = extended.predict(whole), aligner.extend(other).predict(other)
    assert links_of(table) == links_of(again)


def test_entities_may_be_gone(aligner, part):
    smaller = hide(part, 7)
    table = aligner.extend(smaller).predict(smaller)
    assert set(table["source"]) <= set(smaller["source"].uri)
    assert (table["origin"] == "known").any()


def test_new_links_are_known(aligner, extended, whole, part):
    anchors = whole[ANCHOR_EDGE]
    given = anchors.edge_label_index[:, anchors.train_mask | anchors.val_mask]
    uris = {(whole["source"].uri[s], whole["target"].uri[t]) for s, t in given.t().tolist()}
    table = extended.predict(whole)
    known = links_of(table[table["origin"] == "known"])
    assert known == uris
    assert known - links_of(aligner.predict(part)) != set()


def test_seeds_that_look_alike_stay_unconfirmed(part, whole, tmp_path):
    alike = PivotAnchors("image", num_links=30)
    # Their pictures are others today, and so are the pairs that look alike.
    trained, today = alike(part.clone()), whole.clone()
    today["source"].x_image = today["source"].x_image.flip(0)
    today["source"].image_mask = today["source"].image_mask.flip(0)
    today = alike(today)
    _aligner().fit(trained, tmp_path, quiet=True)
    table = Aligner.load(tmp_path).extend(today).predict(today)
    unknown = table[table["origin"] == "pivot"]
    assert not (table["origin"] == "known").any()
    assert unknown["confidence"].isna().all()
    pairs = trained[ANCHOR_EDGE].edge_label_index[:, trained[ANCHOR_EDGE].pivot_mask]
    uris = [trained[side].uri for side in SIDES]
    then = {(uris[0][i], uris[1][j]) for i, j in pairs.t().tolist()}
    found = set(zip(unknown["source"], unknown["target"], strict=True))
    assert then <= found
    assert len(found) > len(then)


def test_rejected_links_stay_rejected(part, whole, tmp_path):
    _aligner().fit(part, tmp_path, quiet=True)
    anchors = part[ANCHOR_EDGE]
    link = tuple(anchors.edge_label_index[:, anchors.train_mask][:, 0].tolist())
    Decisions(part, Ledger(tmp_path / LEDGER_NAME)).record([Decision("reject", link)])
    aligner = _aligner().fit(part, tmp_path, resume=True, quiet=True)
    rejected = part["source"].uri[link[0]], part["target"].uri[link[1]]
    assert rejected not in links_of(aligner.predict(part))
    assert rejected not in links_of(aligner.extend(whole).predict(whole))


def test_twice_is_refused(extended, whole, tmp_path):
    with pytest.raises(ValueError, match="is not saved"):
        extended.save(tmp_path)
    with pytest.raises(ValueError, match="that was extended cannot be extended"):
        extended.extend(whole)


def test_relations_in_another_order(extended, aligner, whole):
    other = copy.copy(whole)
    for side in SIDES:
        edges = other[RELATION_EDGE[side]]
        edges.edge_type = len(edges.relation_uri) - 1 - edges.edge_type
        edges.relation_uri = edges.relation_uri[::-1]
    again = aligner.extend(other)
    for side in SIDES:
        torch.testing.assert_close(again.embeddings[side], extended.embeddings[side])


def test_new_relations_are_left_out(extended, aligner, whole, caplog):
    other = copy.copy(whole)
    edges = other[RELATION_EDGE["source"]]
    edges.edge_index = torch.cat([edges.edge_index, torch.tensor([[0], [1]])], dim=1)
    edges.edge_type = torch.cat([edges.edge_type, torch.tensor([len(edges.relation_uri)])])
    edges.relation_uri = [*edges.relation_uri, "never seen"]
    with caplog.at_level(logging.WARNING):
        again = aligner.extend(other)
    assert "left out 1 triples of the source graph" in caplog.text
    torch.testing.assert_close(again.embeddings["source"], extended.embeddings["source"])


@pytest.mark.parametrize("change", ["rotated", "scaled", "vocabulary", "no vocabulary"])
def test_features_that_mean_something_else_are_refused(aligner, whole, change):
    other = copy.copy(whole)
    rotation = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(0)))[0]
    for side in SIDES:
        if change == "rotated":
            other[side].x_image = whole[side].x_image @ rotation
        elif change == "scaled":
            other[side].x_image = 100 * whole[side].x_image
    if change == "vocabulary":
        other.attribute_vocabulary = whole.attribute_vocabulary[::-1]
    elif change == "no vocabulary":
        del other.attribute_vocabulary
    name = "attribute" if "vocabulary" in change else "image"
    with pytest.raises(ValueError, match=f"'x_{name}' needs to mean what it meant in training"):
        aligner.extend(other)


def test_features_of_some_may_have_changed(aligner, whole):
    other = copy.copy(whole)
    for side in SIDES:
        other[side].x_image = whole[side].x_image.clone()
        other[side].x_image[:20] *= -1
    assert not aligner.extend(other).predict(other).empty


def test_missing_features_are_refused(aligner, whole):
    other = copy.copy(whole)
    for side in SIDES:
        other[side].x_image = other[side].x_image[:, :5]
    with pytest.raises(ValueError, match=r"'x_image' needs 16 columns, as in training \(got 5\)"):
        aligner.extend(other)
    with pytest.raises(ValueError, match="'data' needs features of 'image'"):
        aligner.extend(DropModality("image")(whole))


def test_a_modality_that_training_lacked_is_left_out(extended, aligner, whole):
    other = copy.copy(whole)
    for side in SIDES:
        other[side].x_smell = torch.ones(other[side].num_nodes, 3)
        other[side].smell_mask = torch.ones(other[side].num_nodes, dtype=torch.bool)
    again = aligner.extend(other)
    torch.testing.assert_close(again.embeddings["source"], extended.embeddings["source"])


def test_another_model_is_refused(folder, whole):
    other = Aligner.load(folder, model=partial(PCMEA, channels=8))
    with pytest.raises(ValueError, match="'model' needs to be the one that was trained"):
        other.extend(whole)


def test_a_run_of_an_older_version(aligner, whole):
    old = copy.copy(aligner)
    old._kept = {key: value for key, value in aligner._state.items() if key != "part_weights"}
    with pytest.raises(ValueError, match="of an older version"):
        old.extend(whole)
    with pytest.raises(RuntimeError, match="needs to be fitted"):
        Aligner().extend(whole)


def test_entity_vectors():
    vectors = torch.tensor([[3.0, 0.0], [0.0, 3.0]])
    # 0 is old row 1, 1 is old row 0; 2 is new beside both, 3 beside 2, 4 alone.
    edge_index = torch.tensor([[0, 2, 3], [2, 1, 2]])
    out = entity_vectors(vectors, torch.tensor([1, 0, -1, -1, -1]), edge_index)
    torch.testing.assert_close(
        out,
        torch.tensor([[0.0, 3.0], [3.0, 0.0], [1.5, 1.5], [1.5, 1.5], [0.0, 0.0]]),
    )


def test_a_chain_of_new_entities():
    place = torch.tensor([0, *[-1] * 300])
    chain = torch.stack([torch.arange(300), torch.arange(1, 301)])
    assert entity_vectors(torch.tensor([[2.0]]), place, chain).eq(2).all()


def test_the_settings_of_the_training_count(part, tmp_path):
    config = TrainingConfig(
        **SETTINGS, propagation_channels=16, frozen_views=False, encoder="momentum"
    )
    fitted = Aligner(training=config).fit(part, tmp_path, quiet=True)
    again = Aligner.load(tmp_path).extend(part)
    for side in SIDES:
        torch.testing.assert_close(again.embeddings[side], fitted.embeddings[side])


def test_other_voters_are_refused(folder, whole):
    other = Aligner.load(folder, calibrator=Calibrator(excluded_voters=["momentum"]))
    with pytest.raises(ValueError, match="'calibrator' and 'model' need to be those"):
        other.extend(whole)


def test_a_pair_of_other_entities_is_refused(aligner, whole):
    other = copy.copy(whole)
    other["target"].uri = [f"other {uri}" for uri in other["target"].uri]
    with pytest.raises(ValueError, match="'data' needs target entities that training had"):
        aligner.extend(other)
