"""No GPU is needed to find what a GPU would not forgive: all that runs on one runs here on a device
that is emulated."""

import copy
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.nn import GAT, GraphSAGE

from pyg_mmea import metrics, utils
from pyg_mmea.baselines import PARIS, Baseline, LabelPropagation, NameSimilarity
from pyg_mmea.calibration import Calibrator, PseudoLabelPool, SinkhornProposer
from pyg_mmea.data import CorruptSeeds, DropModality, HideAnchors, PivotAnchors, validate
from pyg_mmea.loss import (
    AlignmentKLLoss,
    EVAObjective,
    HardNegativeLoss,
    InfoNCELoss,
    MEAformerObjective,
    MomentumContrastLoss,
    MutualInformationLoss,
    NCALoss,
    PCMEAObjective,
    SampledSoftmaxLoss,
)
from pyg_mmea.nn import EVA, MCLEA, PCMEA, AlignmentModel, MEAformer
from pyg_mmea.testing import emulated_accelerator
from pyg_mmea.training import Aligner, TrainingConfig, phase
from pyg_mmea.typing import ANCHOR_EDGE


@pytest.fixture
def device() -> Iterator[torch.device]:
    with emulated_accelerator() as device:
        yield device


class TestEmulation:
    def test_mixing_devices_is_an_error(self, device: torch.device) -> None:
        x = torch.ones(3, 2).to(device)
        assert (x + torch.tensor(1.0)).device == device  # as with a GPU, a scalar may be anywhere
        for mixed in (
            lambda: x + torch.ones(2),
            lambda: torch.ones(2) * x,
            lambda: torch.cat([x, torch.ones(3, 2)]),
            lambda: x.index_select(0, torch.tensor([1])),
            lambda: torch.ones(3)[torch.tensor([1], device=device)],
            lambda: x.index_put_((torch.tensor([1]),), torch.ones(2)),
            lambda: torch.stack([x[0, 0], torch.tensor(1.0)]),
            lambda: torch.tensor(0.0).add_(x.sum()),
            lambda: torch.add(x, 1, out=torch.empty(3, 2)),
        ):
            with pytest.raises(RuntimeError, match="needs its tensors on one device"):
                mixed()
        for to_numpy in (x.numpy, lambda: np.asarray(x)):
            with pytest.raises(TypeError, match="'cpu' brings it back"):
                to_numpy()
        assert x.numpy(force=True).tolist() == [[1, 1]] * 3

    def test_copies_are_made_between_devices(self, device: torch.device) -> None:
        x, there = torch.zeros(3), torch.zeros(3, device=device)
        there[1:] = torch.ones(2)
        x.copy_(there)
        assert x.tolist() == [0, 1, 1]
        torch._foreach_copy_([there], [torch.ones(3)])
        assert there.tolist() == [1, 1, 1]

    def test_indices_may_be_on_the_cpu(self, device: torch.device) -> None:
        x = torch.arange(3.0, device=device)
        assert x[torch.tensor([2, 0])].tolist() == [2, 0]
        assert x[torch.tensor([True, False, True])].tolist() == [0, 2]
        x[torch.tensor([1])] = 5.0
        assert x.cpu().tolist() == [0, 5, 2]

    @pytest.mark.parametrize(
        "make",
        [
            lambda device: torch.zeros(2, device=device),
            lambda device: torch.tensor([0, 0], device=device),
            lambda device: torch.as_tensor([0, 0], device=device),
            lambda device: torch.asarray([0, 0], device=device),
            lambda device: torch.ones(3, device=device).new_tensor([0, 0]),
            lambda device: torch.ones(3).new_tensor([0, 0], device=device),
            lambda device: torch.ones(2, device=device).new_zeros(2),
            lambda device: torch.zeros_like(torch.ones(2), device=device),
            lambda device: torch.ones(2, device=device).zero_(),
            lambda device: torch.zeros(2).to(device).double().float(),
        ],
    )
    def test_tensors_are_made_there(
        self, make: Callable[[torch.device], Tensor], device: torch.device
    ) -> None:
        out = make(device)
        assert out.device == device
        back = out.cpu()
        assert back.device.type == "cpu"
        assert back.tolist() == [0, 0]

    def test_an_output_argument_is_written(self, device: torch.device) -> None:
        out = torch.zeros(4, device=device)
        torch.cumsum(torch.ones(3, device=device), 0, out=out[1:])
        assert out.tolist() == [0, 1, 2, 3]

    def test_a_leaf_is_made_there(self, device: torch.device) -> None:
        x = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        x.square().sum().backward()
        assert x.grad is not None
        assert x.grad.tolist() == [2, 4]
        assert x.new_tensor([1.0], requires_grad=True).is_leaf

    def test_shapes_change_in_place(self, device: torch.device) -> None:
        x = torch.arange(4.0, device=device).requires_grad_()
        y = (2 * x).view(2, 2)
        y.t_()
        assert y.stride() == (1, 2)
        y.unsqueeze_(0)
        assert y.shape == (1, 2, 2)
        y[0, 0].square().sum().backward()
        assert x.grad is not None
        assert x.grad.tolist() == [0, 0, 16, 0]
        out = torch.empty(0, device=device)
        torch.cumsum(torch.ones(3, device=device), 0, out=out)
        assert out.shape == (3,)

    def test_data_are_replaced(self, device: torch.device) -> None:
        layer = torch.nn.Linear(2, 2).to(device)
        layer.weight.data = torch.ones(2, 2, device=device)
        layer.weight.data.mul_(2)
        assert layer.weight.tolist() == [[2, 2], [2, 2]]
        layer.double()
        assert layer(torch.ones(1, 2, device=device).double()).dtype == torch.double
        twin = copy.deepcopy(layer)
        twin.weight.data.zero_()
        assert twin.weight.device == device
        assert layer.weight.tolist() == [[2, 2], [2, 2]]

    @pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
    def test_sparse_ones_come_and_go(self, layout: torch.layout, device: torch.device) -> None:
        x = torch.eye(3).to_sparse(layout=layout)
        there = x.to(device)
        assert there.layout == layout
        assert (there @ torch.ones(3, 1, device=device)).device == device
        assert torch.equal(there.cpu().to_dense(), torch.eye(3))

    def test_autocast_does_nothing(self, device: torch.device) -> None:
        @torch.amp.autocast(device.type, dtype=torch.half)
        def double(x: Tensor) -> Tensor:
            return x @ x

        assert double(torch.eye(2, device=device)).dtype == torch.float

    def test_a_scalar_is_formatted(self, device: torch.device) -> None:
        assert f"{torch.tensor(1.5, device=device):.2f}" == "1.50"

    @pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD, torch.optim.Adagrad])
    def test_training_is_that_of_the_cpu(
        self, optimizer: Callable[..., torch.optim.Optimizer], device: torch.device
    ) -> None:
        x = torch.randn(8, 3)
        layers = []
        for place in (torch.device("cpu"), device):
            torch.manual_seed(0)
            layer = torch.nn.Linear(3, 2).to(place)
            steps = optimizer(layer.parameters(), lr=0.1, fused=True)
            layer(x.to(place)).square().mean().backward()
            steps.step()
            layers.append(layer)
        assert layers[1].weight.device == device
        assert torch.equal(layers[0].weight, layers[1].weight.cpu())

    def test_what_is_saved_is_loaded_on_the_cpu(self, device: torch.device) -> None:
        file = io.BytesIO()
        torch.save({"x": torch.ones(2, device=device)}, file)
        file.seek(0)
        x = torch.load(file, weights_only=True)["x"]
        assert x.device.type == "cpu"
        assert x.tolist() == [1, 1]

    def test_all_is_as_before_outside(self) -> None:
        before = torch.autocast.__init__
        with pytest.raises(KeyError), emulated_accelerator():
            raise KeyError
        assert torch.autocast.__init__ is before
        with pytest.raises(NotImplementedError):
            torch.zeros(2, device="lazy")


def _rows(out: dict[str, dict[str, Tensor]]) -> dict[tuple[str, str], Tensor]:
    return {(side, name): z for side, part in out.items() for name, z in part.items()}


STRUCTURE = {
    name: name
    for name in (
        "relation_reflection+diag_gat",
        "gcn",
        "gat",
        "gatv2",
        "rgcn",
        "compgcn",
    )
} | {"GraphSAGE": GraphSAGE(16, 16, 2), "GAT": GAT(16, 16, 2, out_channels=16)}
MODELS: dict[str, Callable[[HeteroData], AlignmentModel]] = {
    **{
        name: (lambda pair, e=encoder: PCMEA.from_data(pair, channels=16, structure_encoder=e))
        for name, encoder in STRUCTURE.items()
    },
    "EVA": EVA.from_data,
    "MCLEA": MCLEA.from_data,
    "MEAformer": MEAformer.from_data,
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_models(
    make: Callable[[HeteroData], AlignmentModel], fake: HeteroData, device: torch.device
) -> None:
    pair = HideAnchors("train")(fake)
    model = make(pair).eval()
    expected = _rows(model(pair))
    model.to(device)
    there = pair.to(device)
    out = _rows(model(there))
    for key, z in out.items():
        assert z.device == device
        torch.testing.assert_close(z.cpu(), expected[key], atol=1e-5, rtol=1e-5)
    model.train()
    torch.stack([z.square().sum() for z in _rows(model(there)).values()]).sum().backward()
    assert any(p.grad is not None for p in model.parameters())
    nodes = {side: torch.arange(3, device=device) for side in ("source", "target")}
    assert model(there, nodes)["source"]["joint"].size(0) == 3


# Called with the embeddings and ids of linked entities, and with embeddings of negatives.
LOSSES: dict[str, Callable[..., Tensor]] = {
    "InfoNCELoss": lambda s, t, i, j, n: InfoNCELoss()(s, t, index_s=i, index_t=j),
    "NCALoss": lambda s, t, i, j, n: NCALoss()(s, t, index_s=i, index_t=j),
    "AlignmentKLLoss": lambda s, t, i, j, n: AlignmentKLLoss()(s, t, t, s),
    "HardNegativeLoss": lambda s, t, i, j, n: HardNegativeLoss()(s, t, n, n, i, j, i, j),
    "SampledSoftmaxLoss": lambda s, t, i, j, n: SampledSoftmaxLoss()(s, t, n, n, i, j, i, j),
    "MomentumContrastLoss": lambda s, t, i, j, n: MomentumContrastLoss()(
        s, t, t, s, index_s=i, index_t=j
    ),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_losses(loss: Callable[..., Tensor], device: torch.device) -> None:
    generator = torch.Generator().manual_seed(0)
    here = [torch.randn(20, 8, generator=generator, requires_grad=True) for _ in range(3)]
    ids = [torch.randint(15, (20,), generator=generator) for _ in range(2)]
    expected = loss(*here[:2], *ids, here[2])
    there = [x.detach().to(device).requires_grad_() for x in here]
    value = loss(*there[:2], *(i.to(device) for i in ids), there[2])
    torch.testing.assert_close(value.cpu(), expected)
    value.backward()
    assert there[0].grad is not None
    assert there[0].grad.device == device


def test_mutual_information(device: torch.device) -> None:
    h, z = (torch.randn(20, 8).to(device).requires_grad_() for _ in range(2))
    mask = torch.rand(20).to(device) > 0.2
    loss = MutualInformationLoss(8, 8).to(device)
    loss(h, z, mask).backward()
    assert h.grad is not None


@pytest.mark.parametrize("objective", [PCMEAObjective, EVAObjective, MEAformerObjective])
def test_objectives(
    objective: Callable[[dict[str, int]], torch.nn.Module], fake: HeteroData, device: torch.device
) -> None:
    pair = HideAnchors("train")(fake).to(device)
    model = MEAformer.from_data(pair, channels=16).to(device)
    out, links = model(pair), pair[ANCHOR_EDGE].edge_label_index
    negatives = {side: torch.arange(9, device=device) for side in ("source", "target")}
    terms = objective(model.out_channels).to(device)(out, links, negatives=negatives)
    torch.stack(list(terms.values())).sum().backward()
    assert all(torch.isfinite(term) for term in terms.values())


def _linked(fake: HeteroData) -> tuple[Tensor, Tensor, Tensor]:
    return (
        torch.randn(fake["source"].num_nodes, 8),
        torch.randn(fake["target"].num_nodes, 8),
        fake[ANCHOR_EDGE].edge_label_index,
    )


@pytest.mark.parametrize("matching", ["none", "mutual", "sinkhorn", "hungarian"])
def test_evaluation(matching: str, fake: HeteroData, device: torch.device) -> None:
    x_s, x_t, links = _linked(fake)
    expected = metrics.evaluate_alignment(x_s, x_t, links, "all", 5, matching)
    out = metrics.evaluate_alignment(x_s.to(device), x_t.to(device), links, "all", 5, matching)
    assert out == expected


# Called with the embeddings of all entities and the links.
MATCHING: dict[str, Callable[[Tensor, Tensor, Tensor], Any]] = {
    "link_ranks": metrics.link_ranks,
    "mutual_nearest": lambda x_s, x_t, links: utils.mutual_nearest(x_s, x_t),
    "hungarian": lambda x_s, x_t, links: utils.hungarian(x_s, x_t),
    "sinkhorn_topk": lambda x_s, x_t, links: utils.sinkhorn_topk(x_s, x_t).score,
    "topk_similarity": lambda x_s, x_t, links: utils.topk_similarity(x_s, x_t, 5),
    "csls_terms": lambda x_s, x_t, links: utils.csls_terms(x_s, x_t, 5),
    "exact search": lambda x_s, x_t, links: utils.nearest_pairs(x_s, x_t, 5, search="exact"),
    "faiss": lambda x_s, x_t, links: utils.nearest_pairs(x_s, x_t, 5, search="faiss"),
    "greedy_one_to_one": lambda x_s, x_t, links: utils.greedy_one_to_one(links, links[0] / 9),
}


@pytest.mark.parametrize("match", MATCHING.values(), ids=MATCHING)
def test_search_and_matching(
    match: Callable[[Tensor, Tensor, Tensor], Any], fake: HeteroData, device: torch.device
) -> None:
    here = _linked(fake)
    expected, out = match(*here), match(*(x.to(device) for x in here))
    if isinstance(out, Tensor):
        expected, out = [expected], [out]
    for x, y in zip(out, expected, strict=True):
        assert x.device == device
        torch.testing.assert_close(x.cpu(), y)


@pytest.mark.parametrize(
    "transform",
    [HideAnchors("train"), CorruptSeeds(0.2), PivotAnchors("image"), DropModality("image")],
)
def test_transforms(
    transform: Callable[[HeteroData], HeteroData], fake: HeteroData, device: torch.device
) -> None:
    there = fake.clone().to(device)
    out = transform(there)
    validate(out)
    assert out[ANCHOR_EDGE].edge_label_index.device == device
    assert torch.equal(
        out[ANCHOR_EDGE].edge_label_index.cpu(), transform(fake)[ANCHOR_EDGE].edge_label_index
    )


@pytest.mark.parametrize("baseline", [LabelPropagation, PARIS, NameSimilarity])
def test_baselines(baseline: type[Baseline], fake: HeteroData, device: torch.device) -> None:
    there = fake.clone().to(device)
    assert baseline().fit(there).evaluate(there) == baseline().fit(fake).evaluate(fake)


class _Emulated(CPUAccelerator):
    def setup_device(self, device: torch.device) -> None:
        """Lightning's own takes no other device."""


@pytest.fixture
def trains_there(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> torch.device:
    def make(accelerator: str, strategy: Any, **kwargs: Any) -> Trainer:
        return Trainer(
            accelerator=_Emulated(), strategy=SingleDeviceStrategy(device=device), **kwargs
        )

    monkeypatch.setattr(phase, "Trainer", make)
    return device


def _aligner(**training: Any) -> Aligner:
    calibrator = Calibrator(
        proposer=SinkhornProposer(), pool=PseudoLabelPool(min_votes=1, patience=1)
    )
    quick = {"epochs": 3, "switch_epoch": 1, "round_every": 1, "val_every": 2, "refit_epochs": 1}
    return Aligner(calibrator=calibrator, training=TrainingConfig(**{**quick, **training}))


@pytest.mark.parametrize(
    "training",
    [
        {},
        {"batch_entities": 40, "accumulate_grad_batches": 2, "refit": False},
        {"encoder": "momentum", "selection": "validation", "rank_by": "joint"},
    ],
    ids=["default", "parts", "momentum"],
)
def test_training(training: dict[str, Any], fake: HeteroData, trains_there: torch.device) -> None:
    aligner = _aligner(**training).fit(fake, quiet=True)
    assert aligner.result["device"] == str(trains_there)
    assert aligner.result["num_pseudo_labels"] > 0
    assert aligner.result["test"]["mean"]["mrr"] > 0.5
    assert len(aligner.predict(fake)) > 0
    assert len(aligner.extend(fake).predict(fake)) > 0


def test_a_run_resumes(fake: HeteroData, trains_there: torch.device, tmp_path: Path) -> None:
    short = {"refit": False, "checkpoint_every": 1}
    _aligner(epochs=2, **short).fit(fake, tmp_path, quiet=True)
    resumed = _aligner(epochs=3, **short).fit(fake, tmp_path, resume=True, quiet=True)
    assert resumed.trained
    assert resumed.result["epochs"] == 3
