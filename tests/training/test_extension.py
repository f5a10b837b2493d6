import logging

import pytest
import torch

from pyg_mmea.data import HideEntities
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.training import Aligner, TrainingConfig
from pyg_mmea.training.extension import entity_vectors
from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE, SIDES

SETTINGS = {"epochs": 4, "val_every": 2, "switch_epoch": 2, "round_every": 1, "refit_epochs": 1}


def _aligner() -> Aligner:
    return Aligner(training=TrainingConfig(**SETTINGS))


@pytest.fixture(scope="module")
def whole():
    return FakeMMKG(num_links=120)[0]


@pytest.fixture(scope="module")
def part(whole):
    return HideEntities(0.2)(whole)


@pytest.fixture(scope="module")
def folder(part, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    _aligner().fit(part, folder, quiet=True)
    return folder


@pytest.fixture(scope="module")
def aligner(folder):
    return Aligner.load(folder, training=TrainingConfig(**SETTINGS))


@pytest.fixture(scope="module")
def extended(aligner, whole):
    return aligner.extend(whole)


def permuted(data):
    """The same pair with its entities in another order."""
    return HideEntities.__call__(data)


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
