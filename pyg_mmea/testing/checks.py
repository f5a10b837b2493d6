"""Checks for encoders, losses and models of one's own."""

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch_geometric.data import HeteroData

from pyg_mmea.nn.encoder.structure import StructureEncoder
from pyg_mmea.nn.models.base import AlignmentModel
from pyg_mmea.typing import SIDES

_TOLERANCE = 1e-8
_NOISE = 100  # times the precision of the largest gradient; rounding leaves up to ten
_GROWTH = 2.5  # of the largest tensor, where nodes and edges double: 2 is linear, 4 quadratic


class LargestTensor(TorchDispatchMode):
    """Watches all operations inside a :obj:`with` block, backward passes included.

    Attributes:
        num_entries (int): Entries of the largest tensor that any of them returned.
    """

    def __init__(self) -> None:
        super().__init__()
        self.num_entries = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                # A matrix that is sparse, or a view that repeats its rows, takes no such memory.
                dense = leaf.layout == torch.strided and 0 not in leaf.stride()
                self.num_entries = max(self.num_entries, leaf.numel() if dense else 0)
        return out


def check_structure_encoder(
    encoder: torch.nn.Module, channels: int, num_relations: int = 6, num_nodes: int = 1500
) -> None:
    """Checks an encoder that is called as ``encoder(x, edge_index)``, and with ``edge_type`` and
    ``nodes`` if it has arguments of these names, on a random graph with twice as many edges as
    nodes:

    * one row a node, all of them finite, with as many columns as :obj:`out_channels` says;
    * isolated nodes and graphs without an edge do no harm;
    * renumbering the nodes renumbers the rows (in evaluation mode);
    * every parameter gets a gradient, and so does the input, that is not zero everywhere, as it is
      where attention is over one entry; only a bias may be cancelled out by what follows;
    * the largest tensor, forward and backward, grows with the graph and not with its square.

    Args:
        encoder (torch.nn.Module): The encoder; it is copied, and the copy made double.
        channels (int): Size of its input.
        num_relations (int): Number of relations. (default: :obj:`6`)
        num_nodes (int): Number of nodes :math:`N`. (default: :obj:`1500`)

    Raises:
        AssertionError: If a check fails.
    """
    wrapped = StructureEncoder(copy.deepcopy(encoder)).double()
    generator = torch.Generator().manual_seed(0)
    x, edge_index, edge_type = _graph(num_nodes, channels, num_relations, generator)
    wrapped.eval()
    with torch.no_grad():
        out = wrapped(x, edge_index, edge_type)
        _check_rows("encoder(x, edge_index, edge_type)", out, num_nodes)
        _check(
            out.size(1) == wrapped.out_channels,
            f"'out_channels' needs to be the size of the output, {out.size(1)} "
            f"(got {wrapped.out_channels})",
        )
        alone = wrapped(x, edge_index[:, :0], edge_type[:0])
        _check_rows("the output for a graph without edges", alone, num_nodes)
        order = torch.randperm(num_nodes, generator=generator)
        place = order.argsort()
        moved = wrapped(x[order], place[edge_index], edge_type)
        _check(
            torch.allclose(moved, out[order], atol=_TOLERANCE),
            "renumbering the nodes needs to renumber the rows, and changes them",
        )
    wrapped.train()
    _jitter(wrapped)
    sizes = []
    for num in (num_nodes, 2 * num_nodes):
        x, edge_index, edge_type = _graph(num, channels, num_relations, generator)
        x.requires_grad_()
        with LargestTensor() as largest:
            _random_sum([wrapped(x, edge_index, edge_type)]).backward()
        _check_gradients(wrapped, {"x": x})
        sizes.append(largest.num_entries)
    _check(
        sizes[1] < _GROWTH * sizes[0],
        f"the largest tensor needs to grow with the nodes, and does so with their square (from "
        f"{sizes[0]} to {sizes[1]} entries for {num_nodes} and {2 * num_nodes} nodes)",
    )


def check_loss(
    loss: Callable[[Tensor, Tensor], Tensor], channels: int = 16, num_links: int = 64
) -> None:
    """Checks a loss that is called as ``loss(x_s, x_t)`` with the embeddings of linked entities,
    row by row:

    * a finite scalar that both inputs and all parameters get a gradient from, not zero everywhere;
    * the order of the links does not matter;
    * a step down its gradient makes it smaller;
    * embeddings of links that are alike cost less than those that are not.

    Args:
        loss (Callable): The loss; a module is copied, and the copy made double.
        channels (int): Size of the embeddings. (default: :obj:`16`)
        num_links (int): Number of links. (default: :obj:`64`)

    Raises:
        AssertionError: If a check fails.
    """
    module = copy.deepcopy(loss).double() if isinstance(loss, torch.nn.Module) else None
    loss = module or loss
    generator = torch.Generator().manual_seed(0)
    x_s, other = torch.randn(2, num_links, channels, generator=generator, dtype=torch.double)
    x_t = x_s + other
    x_s.requires_grad_()
    x_t.requires_grad_()
    out = loss(x_s, x_t)
    value = out.detach()
    _check(value.dim() == 0, f"the loss needs to be a scalar (got shape {list(value.shape)})")
    _check(torch.isfinite(value), f"the loss needs to be finite (got {float(value)})")
    out.backward()
    _check_gradients(module, {"x_s": x_s, "x_t": x_t})
    with torch.no_grad():
        order = torch.randperm(num_links, generator=generator)
        moved = loss(x_s[order], x_t[order])
        _check(
            torch.allclose(moved, value, rtol=1e-6),
            f"the order of links needs not to matter (got {float(value)} and {float(moved)})",
        )
        steps = [x - 1e-4 * x.grad for x in (x_s, x_t) if x.grad is not None]
        _check(loss(*steps) < value, "a small step down the gradient needs to lower the loss")
        alike, unlike = loss(x_s, x_s + 0.01 * other), loss(x_s, x_s[order])
        _check(
            alike < unlike,
            f"links that are alike need to cost less than others (got {float(alike)} and "
            f"{float(unlike)})",
        )


def check_model(model: AlignmentModel, data: HeteroData) -> None:
    """Checks an alignment model on a pair of graphs that it was built for:

    * ``model(data)`` has what :obj:`out_channels` says, for both graphs, :obj:`"joint"` included,
      in as many parts of equal size as :obj:`num_parts` says;
    * ``model(data, nodes)`` is the rows of these entities (in evaluation mode);
    * :meth:`~pyg_mmea.nn.AlignmentModel.embed_modalities` has the same without the joint embedding;
    * every parameter gets a gradient that is not zero everywhere, biases aside.

    Args:
        model (AlignmentModel): The model; it is left in training mode, with gradients.
        data (HeteroData): The pair. What encodes a modality that no entity has gets no gradient.

    Raises:
        AssertionError: If a check fails.
    """
    model.eval()
    with torch.no_grad():
        out = model(data)
        _check(list(out) == list(SIDES), f"the output needs to have {SIDES} (got {list(out)})")
        nodes = {side: torch.arange(0, data[side].num_nodes, 3) for side in SIDES}
        some, modalities = model(data, nodes), model.embed_modalities(data)
        for side in SIDES:
            sizes = {name: z.size(1) for name, z in out[side].items()}
            _check(
                sizes == model.out_channels,
                f"'out_channels' needs to be the sizes of the output, {sizes} "
                f"(got {model.out_channels})",
            )
            for name, num in model.num_parts.items():
                _check(
                    num >= 1 and name in sizes and sizes[name] % num == 0,
                    f"'num_parts' of '{name}' needs to divide its size in {sizes} (got {num})",
                )
            for name, z in out[side].items():
                _check_rows(f"the output of '{name}' in {side}", z, data[side].num_nodes)
                _check_rows("model(data, nodes)", some[side][name], nodes[side].numel())
                _check(
                    torch.allclose(some[side][name], z[nodes[side]], atol=1e-4),
                    f"model(data, nodes) needs to be the rows of model(data) ('{name}')",
                )
                _check(
                    name == "joint" or torch.allclose(modalities[side][name], z, atol=1e-4),
                    f"embed_modalities(data) needs to be what model(data) has ('{name}')",
                )
    model.train()
    model.zero_grad()
    out = model(data)
    _random_sum([z for part in out.values() for z in part.values()]).backward()
    _check_gradients(model, {})


def _graph(
    num_nodes: int, channels: int, num_relations: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """A random graph with twice as many edges as nodes, of which the last ones are isolated."""
    num_edges = 2 * num_nodes
    x = torch.randn(num_nodes, channels, generator=generator, dtype=torch.double)
    edge_index = torch.randint(num_nodes - 10, (2, num_edges), generator=generator)
    edge_type = torch.randint(num_relations, (num_edges,), generator=generator)
    return x, edge_index, edge_type


def _jitter(module: torch.nn.Module) -> None:
    """Moves all parameters a little: a gate that begins at zero keeps gradients from what is behind
    it."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=generator).to(parameter))


def _random_sum(outputs: list[Tensor]) -> Tensor:
    """A sum that every entry matters to; that of squares is constant for rows of unit length."""
    generator = torch.Generator().manual_seed(0)
    parts = [(z * torch.randn(z.shape, generator=generator).to(z)).sum() for z in outputs]
    return torch.stack(parts).sum()


def _check(holds: bool | Tensor, message: str) -> None:
    if not holds:
        raise AssertionError(message)


def _check_rows(what: str, x: Tensor, num_rows: int) -> None:
    _check(
        x.dim() == 2 and x.size(0) == num_rows,
        f"{what} needs to have shape [{num_rows}, D] (got {list(x.shape)})",
    )
    _check(bool(torch.isfinite(x).all()), f"{what} needs to be finite")


def _check_gradients(module: torch.nn.Module | None, inputs: Mapping[str, Tensor]) -> None:
    tensors = dict(inputs)
    if module is not None:
        tensors |= {name: p for name, p in module.named_parameters() if p.requires_grad}
    sizes = {}
    for name, tensor in tensors.items():
        _check(tensor.grad is not None, f"'{name}' needs to get a gradient")
        sizes[name] = math.inf if tensor.grad is None else float(tensor.grad.abs().max())
        _check(math.isfinite(sizes[name]), f"the gradient of '{name}' needs to be finite")
    for name, tensor in tensors.items():
        noise = _NOISE * torch.finfo(tensor.dtype).eps * max(sizes.values())
        _check(
            # What follows may cancel a bias out, as a softmax or a batch normalisation does.
            name.endswith("bias") or sizes[name] > noise,
            f"'{name}' needs a gradient that is not zero everywhere",
        )
