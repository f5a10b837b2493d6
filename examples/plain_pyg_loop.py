"""Align two graphs in a plain PyTorch loop, with a structure encoder of one's own.

    python examples/plain_pyg_loop.py --epochs 40

Runs in about a minute on two CPU cores, on the generated catalogue; Hits@1 on the test links is
printed at the end. The settings are nobody's paper.
"""

import argparse

import torch
import torch.nn.functional as F
from torch_geometric.nn import SAGEConv

from pyg_mmea.data import HideAnchors
from pyg_mmea.datasets import Catalogue
from pyg_mmea.loss import SampledSoftmaxLoss
from pyg_mmea.metrics import evaluate_alignment
from pyg_mmea.nn import PCMEA

parser = argparse.ArgumentParser()
parser.add_argument("--root", default=None, help="where the catalogue is generated")
parser.add_argument("--num_products", type=int, default=300)
parser.add_argument("--channels", type=int, default=64)
parser.add_argument("--epochs", type=int, default=40)
parser.add_argument("--lr", type=float, default=5e-3)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()


class Encoder(torch.nn.Module):
    """Any module called as ``encoder(x, edge_index)`` that says how large its output is."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out_channels = 2 * channels
        self.conv1 = SAGEConv(channels, channels)
        self.conv2 = SAGEConv(channels, channels)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        near = F.relu(self.conv1(x, edge_index))
        return torch.cat([near, self.conv2(near, edge_index)], dim=1)


torch.manual_seed(args.seed)
data = Catalogue(args.root, num_products=args.num_products)[0]
anchors = data["source", "anchor", "target"]
visible = HideAnchors("train")(data)  # all that training gets to see
source, target = visible["source", "anchor", "target"].edge_label_index

model = PCMEA.from_data(
    data,
    structure_encoder=Encoder(args.channels),
    channels=args.channels,
    modality_channels=args.channels,
)
loss_fn = SampledSoftmaxLoss(temperature=0.1)
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)


def train() -> float:
    model.train()
    out = model(visible)
    z_s, z_t = out["source"]["joint"], out["target"]["joint"]
    all_s, all_t = torch.arange(z_s.size(0)), torch.arange(z_t.size(0))
    loss = loss_fn(z_s[source], z_t[target], z_s, z_t, source, target, all_s, all_t)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss)


@torch.no_grad()
def test() -> dict:
    model.eval()
    out = model(data)
    links = anchors.edge_label_index[:, anchors.test_mask]
    return evaluate_alignment(out["source"]["joint"], out["target"]["joint"], links)["mean"]


for epoch in range(1, args.epochs + 1):
    loss = train()
    if epoch % 10 == 0 or epoch == args.epochs:
        print(f"epoch {epoch:3d}  loss {loss:.3f}")
print("test", {name: round(value, 3) for name, value in test().items()})
