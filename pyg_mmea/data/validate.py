"""Checks that an object keeps the data contract."""

from typing import Any, NoReturn

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.typing import (
    ANCHOR_EDGE,
    RELATION_EDGE,
    SIDES,
    SPLIT_MASKS,
    EdgeType,
    is_reserved,
)

_ROWS_AT_ONCE = 1 << 16


def _fail(store: str | EdgeType, key: str, rule: str) -> NoReturn:
    raise ValueError(f"data[{store!r}].{key}: {rule}")


def _get(data: HeteroData, store: str | EdgeType, key: str) -> Any:
    if key not in data[store]:
        _fail(store, key, "is missing")
    return data[store][key]


def _check_texts(
    data: HeteroData, store: str | EdgeType, key: str, length: int | None, missing: bool = False
) -> list[str]:
    value = _get(data, store, key)
    allowed = (str, type(None)) if missing else (str,)
    kinds = set(map(type, value)) if isinstance(value, list) else {type(value)}
    if not isinstance(value, list) or not all(issubclass(kind, allowed) for kind in kinds):
        _fail(store, key, f"needs to be a list of str{' or None' if missing else ''}")
    if length is not None and len(value) != length:
        _fail(store, key, f"needs {length} entries (got {len(value)})")
    return value


def _check_tensor(
    data: HeteroData,
    store: str | EdgeType,
    key: str,
    dtype: torch.dtype,
    shape: tuple[int | None, ...],
) -> Tensor:
    value = _get(data, store, key)
    if not isinstance(value, Tensor) or value.dtype != dtype:
        got = value.dtype if isinstance(value, Tensor) else type(value).__name__
        _fail(store, key, f"needs to be a tensor of {dtype} (got {got})")
    fits = value.dim() == len(shape) and all(
        wanted is None or wanted == size for wanted, size in zip(shape, value.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("*" if size is None else str(size) for size in shape)
        _fail(store, key, f"needs shape [{wanted}] (got {list(value.shape)})")
    return value


def _check_index(store: EdgeType, key: str, index: Tensor, sizes: tuple[int, int]) -> None:
    for row, size in enumerate(sizes):
        if index.size(1) > 0 and not 0 <= int(index[row].min()) <= int(index[row].max()) < size:
            _fail(store, key, f"row {row} needs to be in [0, {size})")


def _check_features(data: HeteroData, side: str, key: str) -> None:
    modality = key.removeprefix("x_")
    if is_reserved(modality):
        _fail(side, key, f"needs another name: '{modality}' is taken")
    num_nodes = data[side].num_nodes
    x = _check_tensor(data, side, key, torch.float32, (num_nodes, None))
    mask = _check_tensor(data, side, f"{modality}_mask", torch.bool, (num_nodes,))
    if x.is_sparse:
        if not x.is_coalesced():
            _fail(side, key, "needs to be coalesced")
        finite, filled = bool(torch.isfinite(x.values()).all()), mask.new_zeros(num_nodes)
        filled[x.indices()[0][x.values() != 0]] = True
    else:  # by blocks, as features may be larger than memory
        blocks = x.split(_ROWS_AT_ONCE)
        finite = all(bool(torch.isfinite(block).all()) for block in blocks)
        filled = torch.cat([(block != 0).any(dim=1) for block in blocks])
    if not finite:
        _fail(side, key, "needs to be finite")
    if bool((filled & ~mask).any()):
        row = int((filled & ~mask).nonzero()[0])
        _fail(side, key, f"row {row} needs to be zeros, since its mask is false")


def _check_side(data: HeteroData, side: str) -> None:
    if side not in data.node_types:
        raise ValueError(f"data[{side!r}]: is missing")
    num_nodes = _get(data, side, "num_nodes")
    if not isinstance(num_nodes, int) or num_nodes < 1:
        _fail(side, "num_nodes", f"needs to be a positive int (got {num_nodes!r})")
    uri = _check_texts(data, side, "uri", num_nodes)
    if len(set(uri)) != num_nodes:
        _fail(side, "uri", "needs to be unique")
    if "name" in data[side]:
        _check_texts(data, side, "name", num_nodes)
    for key in ("image_path", "attribute_values"):
        if key in data[side]:
            _check_texts(data, side, key, num_nodes, missing=True)
    for key in list(data[side].keys()):
        if key.startswith("x_"):
            _check_features(data, side, key)
        elif key.endswith("_mask") and f"x_{key.removesuffix('_mask')}" not in data[side]:
            _fail(side, key, f"has no 'x_{key.removesuffix('_mask')}' beside it")

    edge = RELATION_EDGE[side]
    if edge not in data.edge_types:
        raise ValueError(f"data[{edge!r}]: is missing")
    index = _check_tensor(data, edge, "edge_index", torch.long, (2, None))
    _check_index(edge, "edge_index", index, (num_nodes, num_nodes))
    num_relations = len(_check_texts(data, edge, "relation_uri", None))
    kind = _check_tensor(data, edge, "edge_type", torch.long, (index.size(1),))
    if kind.numel() > 0 and not 0 <= int(kind.min()) <= int(kind.max()) < num_relations:
        _fail(edge, "edge_type", f"needs to be in [0, {num_relations})")


def _check_anchors(data: HeteroData) -> None:
    if ANCHOR_EDGE not in data.edge_types:
        raise ValueError(f"data[{ANCHOR_EDGE!r}]: is missing")
    if "edge_index" in data[ANCHOR_EDGE]:
        _fail(ANCHOR_EDGE, "edge_index", "is not allowed; links belong in 'edge_label_index'")
    links = _check_tensor(data, ANCHOR_EDGE, "edge_label_index", torch.long, (2, None))
    sizes = (data["source"].num_nodes, data["target"].num_nodes)
    _check_index(ANCHOR_EDGE, "edge_label_index", links, sizes)
    if torch.unique(links[0] * sizes[1] + links[1]).numel() != links.size(1):
        _fail(ANCHOR_EDGE, "edge_label_index", "holds a link twice")
    count = torch.zeros(links.size(1), dtype=torch.long, device=links.device)
    for key in SPLIT_MASKS:
        count += _check_tensor(data, ANCHOR_EDGE, key, torch.bool, (links.size(1),))
    if bool((count > 1).any()):
        _fail(ANCHOR_EDGE, "train_mask", "the three masks need to be disjoint")
    if bool((count < 1).any()):
        _fail(ANCHOR_EDGE, "train_mask", "the three masks need to cover all links")


def validate(data: HeteroData) -> None:
    """Checks that :obj:`data` is a pair of graphs as the package expects it.

    Args:
        data (HeteroData): The pair.

    Raises:
        ValueError: If a rule is broken. The message names the store, the key and the rule.
    """
    for side in SIDES:
        _check_side(data, side)
    features = [{key for key in data[side] if key.startswith("x_")} for side in SIDES]
    for key in sorted(features[0] ^ features[1]):
        missing = SIDES[0] if key in features[1] else SIDES[1]
        _fail(missing, key, "is missing, though the other graph has it")
    for key in sorted(features[0]):
        sizes = [data[side][key].size(1) for side in SIDES]
        if sizes[0] != sizes[1]:
            _fail("target", key, f"needs {sizes[0]} columns like the source (got {sizes[1]})")
    _check_anchors(data)
