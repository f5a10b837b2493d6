import torch

from pyg_mmea.baselines import NameSimilarity
from pyg_mmea.data import AlignmentData, GraphTables, make_pair
from pyg_mmea.typing import ANCHOR_EDGE


def test_names_alone_decide(fake: AlignmentData) -> None:
    baseline = NameSimilarity().fit(fake)
    assert torch.equal(baseline.embeddings["source"], fake["source"].x_name)
    assert str(baseline) == "NameSimilarity(modality=name)"


def test_other_modalities(fake: AlignmentData) -> None:
    bags = NameSimilarity("attribute", csls_k=0).fit(fake)  # sparse features
    assert torch.equal(bags.embeddings["target"], fake["target"].x_attribute.to_dense())
    assert bags.evaluate(fake)["csls_k"] == 0


def test_translated_names() -> None:
    names = ["Yangtze River", "Yellow River", "River Thames", "Mount Tai"]
    other = ["the yellow river", "tai mountain", "yangtze", "thames"]
    graphs = [
        GraphTables(uri=[f"{side}{i}" for i in range(4)], name=each)
        for side, each in (("s", names), ("t", other))
    ]
    links = torch.tensor([[0, 1, 2, 3], [2, 0, 3, 1]])
    masks = torch.zeros(4, dtype=torch.bool)
    data = make_pair(*graphs, links, (masks, masks, ~masks), features="name", text_encoder="tfidf")
    baseline = NameSimilarity(csls_k=0).fit(data)  # no link is needed
    assert baseline.evaluate(data)["mean"]["hits@1"] == 1
    table = baseline.predict(data)
    assert len(table) == data[ANCHOR_EDGE].edge_label_index.size(1)
