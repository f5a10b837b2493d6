"""The least time that a machine of a given bandwidth and rate needs for some stages.

A sparse step is bound by memory: each edge brings one row of D floats and its index, each row of
the result is written once. Rows that stay in the cache would not count, so a kernel on a small or
well ordered graph can be faster than this. Dense products are bound by their operations. Everything
else (activations, softmax, dropout) counts as nothing.
"""

import torch

from pyg_mmea.nn import PCMEA, GATEncoder
from pyg_mmea.nn.message_graph import MessageGraph

_FLOAT, _INDEX = 4, 8


def _gather(num_entries: int, num_rows: int, channels: int) -> int:
    """Bytes of a product of a sparse matrix with a dense one."""
    return num_entries * (channels * _FLOAT + _INDEX + _FLOAT) + num_rows * channels * _FLOAT


def propagation_bytes(graph: MessageGraph, channels: int, num_layers: int, smooth: bool) -> int:
    """Bytes of the forward pass of a relation reflection encoder. Relation embeddings are few and
    stay in the cache: only the neighbours' rows count."""
    num_nodes = graph.neighbors.size[0]
    neighbors = _gather(graph.neighbors.num_entries, num_nodes, channels)
    senders = _gather(graph.senders.num_entries, 0, channels)
    return num_layers * (neighbors + senders) + (neighbors if smooth else 0)


def attention_bytes(graph: MessageGraph, encoder: GATEncoder, num_rows: int) -> int:
    """Bytes of the forward pass of graph attention, each head of which reads all neighbours. The
    last layer has only the rows asked for, here with as many neighbours as others on average."""
    num_nodes = graph.neighbors.size[0]
    heads = sum(conv.heads for conv in encoder.convs[:-1])
    every = heads * _gather(graph.neighbors.num_entries + num_nodes, num_nodes, encoder.channels)
    entries = (graph.neighbors.num_entries + num_nodes) * num_rows // num_nodes
    return every + encoder.convs[-1].heads * _gather(entries, num_rows, encoder.channels)


def forward_work(model: PCMEA, graphs: dict[str, MessageGraph], data, nodes) -> tuple[int, int]:
    """Bytes and operations of one forward pass over both graphs.

    The backward pass of a sparse product is one of the transpose and one sample, and that of a
    dense product is two: it takes at least twice as much of both.
    """
    moved = operations = 0
    for side, graph in graphs.items():
        num_rows = len(nodes[side])
        relational, attention = (each.encoder for each in model.structure.encoder.encoders)
        moved += attention_bytes(graph, attention, num_rows)
        for module in [relational, *model.propagation.values()]:
            channels, layers = module.channels, module.num_layers
            moved += propagation_bytes(graph, channels, layers, module.smooth_input)
            width = module.out_channels
            operations += 2 * num_rows * width * (width + 2 * module.num_proxies)
        for name, encoder in model.encoders.items():
            x = data[side][f"x_{name}"]
            if x.layout == torch.strided:
                operations += 2 * x.numel() * encoder.out_channels
            else:  # the weights stay in the cache
                moved += x.values().numel() * (_INDEX + _FLOAT)
            moved += x.size(0) * encoder.out_channels * _FLOAT
    return moved, operations


def ranking_operations(num_links: int, channels: int) -> int:
    """Operations of exact ranks with CSLS among the counterparts of all links: one pass for the
    neighbourhoods, one for the ranks."""
    return 2 * 2 * num_links**2 * channels


def search_operations(num_s: int, num_t: int, channels: int) -> int:
    """Operations of an exact search for nearest neighbours in both directions."""
    return 2 * 2 * num_s * num_t * channels
