import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.loader import NeighborLoader
from torch_geometric.typing import WITH_PYG_LIB, WITH_TORCH_SPARSE

from pyg_mmea.calibration import Calibrator, even_weights
from pyg_mmea.data import PartitionedPair, partition_pair
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.loss import PCMEAObjective
from pyg_mmea.nn import EVA, PCMEA
from pyg_mmea.training import AlignmentModule, TrainingConfig
from pyg_mmea.training.views import ViewEmbedder, voter_names
from pyg_mmea.typing import ANCHOR_EDGE, SIDES


@pytest.fixture
def pair() -> HeteroData:
    data = FakeMMKG()[0]
    for side in SIDES:
        for name, value in data[side].items():
            if name.startswith("x_"):
                data[side][name] = value.double()
    return data


def make(pair: HeteroData, **training: object) -> AlignmentModule:
    torch.manual_seed(0)
    model = PCMEA.from_data(pair, channels=8, modality_channels=8)
    config = TrainingConfig(num_negatives=30, switch_epoch=0, **training)
    objective = PCMEAObjective(model.out_channels)
    links = links_of(pair)
    module = AlignmentModule(model, objective, pair, links, config, 0, 1, Calibrator())
    module._log_mean = lambda *args, **kwargs: None  # there is no trainer
    return module.double()


def test_the_momentum_contrast_can_rise_over_some_epochs(pair: HeteroData) -> None:
    module = make(pair, switch_width=4)
    module.switch_epoch = 2
    shares = [module.momentum_weight(epoch) for epoch in range(8)]
    assert shares == [0, 0, 0.25, 0.5, 0.75, 1, 1, 1]
    module.switch_epoch = 0  # at epoch 0, a quarter of it is on
    terms: dict[str, Tensor] = {}
    module._log_mean = lambda name, value, *args, **kwargs: terms.update({name: value.detach()})
    step(module, [links_of(pair).t()])
    quarter = terms["loss/momentum"]
    module.config = TrainingConfig(num_negatives=30, switch_epoch=0)
    assert module.momentum_weight(0) == 1
    step(module, [links_of(pair).t()])
    assert torch.allclose(quarter, terms["loss/momentum"] / 4)
    module.go_on_with(links_of(pair), 1, before=4)
    module.config.switch_width = 4
    assert module.momentum_weight(0) == 1


def links_of(pair: HeteroData, mask: str = "train_mask") -> Tensor:
    anchors = pair[ANCHOR_EDGE]
    return anchors.edge_label_index[:, anchors[mask]]


def step(module: AlignmentModule, batch: list) -> tuple[Tensor, dict[str, Tensor]]:
    torch.manual_seed(1)
    module.zero_grad()
    loss = module.training_step(batch, 0)
    loss.backward()
    return loss, {n: p.grad for n, p in module.named_parameters() if p.grad is not None}


def test_a_mini_batch_of_all_is_the_full_step(pair: HeteroData) -> None:
    module, links = make(pair), links_of(pair)
    parts = PartitionedPair(pair, partition_pair(pair, links, 1))
    everything = torch.tensor([0])
    loss, grads = step(module, [links.t()])
    other_loss, other = step(module, [parts.locate(links, everything).t(), parts.batch(everything)])
    assert loss == other_loss
    assert grads.keys() == other.keys()
    assert any(name.startswith("model.entity") for name in grads)
    for name, grad in grads.items():
        assert torch.allclose(grad, other[name], rtol=1e-12, atol=1e-14), name


def test_a_mini_batch_does_not_depend_on_the_rest(pair: HeteroData) -> None:
    """What is cut off gets no gradient, and the cut-out pair alone gives the same loss."""
    module, links = make(pair), links_of(pair)
    part = {side: torch.zeros(pair[side].num_nodes, dtype=torch.long) for side in SIDES}
    for side, ends in zip(SIDES, links, strict=True):
        part[side][ends[:4]] = 1
        part[side][torch.arange(20)] = 1
    parts = PartitionedPair(pair, part)
    chosen = torch.tensor([1])
    batch = parts.batch(chosen)
    inside = links[:, parts.group(links, torch.tensor([-1, 0])) == 0]
    loss, grads = step(module, [parts.locate(inside, chosen).t(), batch])
    assert loss.isfinite()
    for side in SIDES:
        touched = grads[f"model.entity.{side}"].ne(0).any(dim=1)
        assert touched.any()
        assert not touched[part[side] == 0].any()


def test_batches_of_neighbor_loader(pair: HeteroData) -> None:
    if not (WITH_PYG_LIB or WITH_TORCH_SPARSE):
        pytest.skip("drawing neighbors needs pyg-lib or torch-sparse")
    loaders = {
        side: NeighborLoader(pair, [5, 5], input_nodes=side, batch_size=16) for side in SIDES
    }
    model = make(pair).model
    batch = next(iter(loaders["source"]))
    batch["target"].update(next(iter(loaders["target"]))["target"])
    assert model(batch)["source"]["joint"].size(0) == batch["source"].num_nodes


def test_voters_are_those_of_the_whole_model(pair: HeteroData) -> None:
    module = make(pair)
    with torch.no_grad():
        module.model.entity["source"].add_(0.1)
    online, momentum = module.voters()
    module.eval()
    with torch.no_grad():
        for encoder, voter in ((module.model, online), (module.momentum, None)):
            out = encoder(pair)["source"]
            for name in module.model.out_channels:
                if voter is not None and name != "joint":
                    assert torch.equal(voter["source"][name], out[name])
    assert set(momentum["source"]) == {"joint"}
    copied = copy.deepcopy(module)
    copied.model.load_state_dict(module.momentum.module.state_dict())
    assert torch.equal(copied.voters()[0]["source"]["joint"], momentum["source"]["joint"])


def test_either_encoder_may_be_the_one_that_proposes(pair: HeteroData) -> None:
    online, other = make(pair), make(pair, encoder="momentum")
    for module in (online, other):
        with torch.no_grad():
            module.model.entity["source"].add_(0.1)
    views, joint = online.voters()
    views_too, joint_too = other.voters()
    assert set(views["source"]) == set(views_too["source"])
    for one, two in ((views, joint_too), (joint, views_too)):
        assert torch.equal(one["source"]["joint"], two["source"]["joint"])
    assert not torch.equal(views["source"]["joint"], joint["source"]["joint"])


def test_noise_for_missing_modalities_is_the_same_at_every_look(pair: HeteroData) -> None:
    torch.manual_seed(0)
    model = EVA.from_data(pair, channels=8, modality_channels=8, missing="noise").double()
    embedder = ViewEmbedder(model, model, TrainingConfig(rank_by="joint"))
    nothing = torch.empty(2, 0, dtype=torch.long), torch.empty(0)
    state = torch.get_rng_state()
    one = embedder.voters(pair, nothing, {})[0]
    assert torch.equal(torch.get_rng_state(), state)  # and training draws what it would have
    torch.rand(1)
    two = embedder.voters(pair, nothing, {})[0]
    assert torch.equal(one["source"]["joint"], two["source"]["joint"])


@pytest.mark.parametrize("frozen_views", [True, False])
@pytest.mark.parametrize("propagate_links", [True, False])
def test_names_of_voters_are_those_who_vote(
    pair: HeteroData, frozen_views: bool, propagate_links: bool
) -> None:
    module = make(pair, frozen_views=frozen_views, propagate_links=propagate_links)
    module.setup("validate")
    names = voter_names(module.model, pair, module.config)
    _, votes, _ = module.calibrator.examine(*module.voters(), links_of(pair))
    assert votes.voters == names


def test_what_never_switched_goes_on_without_the_switch(pair: HeteroData) -> None:
    for epochs, switched in ((2, False), (3, True)):  # of the round after the third one are labels
        module = make(pair)
        module.switch_epoch = 3
        module.go_on_with(links_of(pair), 1, epochs)
        assert module.has_switched(0) is switched
        assert module.momentum_weight(0) == switched


def test_the_joint_embedding_weighs_the_parts_of_views(pair: HeteroData) -> None:
    module = make(pair)
    views = module.weigh(links_of(pair, "val_mask"))
    parts = module.embedder.parts(views)
    assert set(parts["source"]) == set(module.part_weights)
    assert {"structure.0", "structure.1", "structure.2", "propagation.3"} <= set(parts["source"])
    assert list(module.view_weights) == list(views["source"])
    assert sum(module.view_weights.values()) == pytest.approx(1)
    joint = {
        side: out["joint"]
        for side, out in module.embedder.with_joint(views, module.part_weights).items()
    }
    links = links_of(pair, "train_mask")
    expected = sum(
        module.part_weights[name]
        * F.cosine_similarity(parts["source"][name][links[0]], parts["target"][name][links[1]])
        for name in parts["source"]
    )
    found = (joint["source"][links[0]] * joint["target"][links[1]]).sum(dim=1)
    assert torch.allclose(found, expected, atol=1e-5)


def test_without_weights_all_views_count_the_same(pair: HeteroData) -> None:
    module = make(pair)
    views = module.views()
    whole = module.embedder.with_joint(views, {})
    links = links_of(pair, "train_mask")
    parts = module.embedder.parts(views)
    expected = sum(
        weight
        * F.cosine_similarity(parts["source"][name][links[0]], parts["target"][name][links[1]])
        for name, weight in even_weights(parts["source"]).items()
    )
    ends = (whole[side]["joint"][rows] for side, rows in zip(SIDES, links, strict=True))
    source, target = ends
    assert torch.allclose((source * target).sum(dim=1), expected, atol=1e-5)


def test_a_checkpoint_of_an_older_version_is_refused(pair: HeteroData) -> None:
    with pytest.raises(ValueError, match="older version cannot be resumed; train it anew"):
        make(pair).on_load_checkpoint({"view_weights": {}, "switch": (None, 0.0)})


def test_models_may_rank_by_their_own_joint_embedding(pair: HeteroData) -> None:
    module = make(pair, rank_by="joint")
    links = links_of(pair, "val_mask")
    assert "joint" in module.weigh(links)["source"]
    assert module.view_weights == {}  # nothing is learned from the validation links
    with torch.no_grad():
        module.model.entity["source"].add_(0.1)
    module.train()
    online, momentum = module.voters()
    assert module.model.training
    module.eval()
    with torch.no_grad():
        for encoder, voter in ((module.model, online), (module.momentum, momentum)):
            assert torch.equal(voter["source"]["joint"], encoder(pair)["source"]["joint"])
    assert {"structure", "image", "image_frozen", "propagation"} <= set(online["source"])
    assert set(momentum["source"]) == {"joint"}


@pytest.mark.parametrize("rank_by", ["joint", "views"])
def test_validation_ranks_by_what_is_asked_for(
    pair: HeteroData, rank_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A joint embedding that knows everything is looked at only where it ranks."""
    module = make(pair, rank_by=rank_by, propagate_links=False, frozen_views=False)
    links = links_of(pair, "val_mask")

    code = torch.randn(links.size(1), 64, dtype=torch.double)
    asked: list[Tensor] = []

    def oracle(out: dict[str, Tensor], masks: dict[str, Tensor]) -> dict[str, Tensor]:
        joint = torch.randn(66, 64, dtype=torch.double)
        joint[links[len(asked)]] = code
        asked.append(joint)
        return {**out, "joint": joint}

    monkeypatch.setattr(module.model, "join", oracle)
    logged: dict[str, float] = {}
    module.log = lambda name, value, **kwargs: logged.update({name: float(value)})
    module.eval()
    module.validation_step([links.t()], 0)
    assert len(asked) == (2 if rank_by == "joint" else 0)
    assert rank_by == "views" or logged["val/hits@1"] == 1
    assert any(name.startswith("weight/") for name in logged) == (rank_by == "views")


def test_mini_batches_by_size() -> None:
    for entities, setting, expected in (
        (100_000, "auto", 1),
        (100_001, "auto", 5),
        (1_000_000, "auto", 40),
        (1_000_000, "all", 1),
        (66, 66, 1),
        (67, 66, 2),
    ):
        config = TrainingConfig(batch_entities=setting)
        assert config.num_mini_batches(entities) == expected


def test_the_pair_that_was_given_stays_where_it_is(pair: HeteroData) -> None:
    module = make(pair)
    module.to("meta")
    module.setup("fit")
    assert module.pair[ANCHOR_EDGE].edge_label_index.device.type == "meta"
    assert pair[ANCHOR_EDGE].edge_label_index.device.type == "cpu"
    assert module.given is pair
