import copy
from collections.abc import Callable

import pytest
import torch
from torch_geometric.data import HeteroData

from pyg_mmea.data import AlignmentData, validate
from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE

SOURCE = RELATION_EDGE["source"]


def test_fake_is_valid(fake: AlignmentData) -> None:
    validate(fake)


def test_a_plain_hetero_data_is_valid(fake: AlignmentData) -> None:
    validate(HeteroData.from_dict(fake.to_dict()))


def _set(store: object, key: str, change: Callable) -> Callable[[AlignmentData], None]:
    def apply(data: AlignmentData) -> None:
        data[store][key] = change(data[store][key])

    return apply


def _delete(store: object, key: str) -> Callable[[AlignmentData], None]:
    def apply(data: AlignmentData) -> None:
        del data[store][key]

    return apply


def _poke(index: int, value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def apply(x: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        x.view(-1)[index] = value
        return x

    return apply


def _filled_hole(data: AlignmentData) -> None:
    data["source"].image_mask = torch.zeros_like(data["source"].image_mask)


def _link_twice(data: AlignmentData) -> None:
    links = data[ANCHOR_EDGE].edge_label_index.clone()
    links[:, 1] = links[:, 0]
    data[ANCHOR_EDGE].edge_label_index = links


def _name_taken(data: AlignmentData) -> None:
    data["target"].x_joint = data["target"].x_image


BROKEN = {
    "name that is taken": (_name_taken, "'target'.*x_joint: needs another name: 'joint' is taken"),
    "no node count": (_delete("source", "num_nodes"), "'source'.*num_nodes: is missing"),
    "no uri": (_delete("target", "uri"), "'target'.*uri: is missing"),
    "uri length": (_set("source", "uri", lambda x: x[1:]), "uri: needs 66 entries .got 65."),
    "uri type": (_set("source", "uri", tuple), "uri: needs to be a list of str"),
    "uri twice": (_set("source", "uri", lambda x: [*x[1:], x[1]]), "uri: needs to be unique"),
    "name": (_set("source", "name", lambda x: [None, *x[1:]]), "name: needs to be a list of str"),
    "image path": (
        lambda data: data["source"].update({"image_path": [None]}),
        "image_path: needs 66 entries",
    ),
    "float64": (_set("source", "x_image", torch.Tensor.double), "x_image: .* torch.float32"),
    "rows": (_set("source", "x_image", lambda x: x[1:]), r"x_image: needs shape \[66, \*\]"),
    "nan": (_set("source", "x_image", _poke(0, float("nan"))), "x_image: needs to be finite"),
    "no mask": (_delete("source", "image_mask"), "image_mask: is missing"),
    "mask type": (_set("source", "image_mask", torch.Tensor.float), "image_mask: .* torch.bool"),
    "mask alone": (_delete("source", "x_image"), "image_mask: has no 'x_image'"),
    "filled hole": (_filled_hole, "x_image: row .* needs to be zeros"),
    "columns": (_set("target", "x_image", lambda x: x[:, 1:]), "x_image: needs 16 columns"),
    "one side only": (
        lambda data: [data["target"].pop("x_image"), data["target"].pop("image_mask")],
        "'target'.*x_image: is missing, though",
    ),
    "edge range": (_set(SOURCE, "edge_index", _poke(0, 66)), r"row 0 needs to be in \[0, 66\)"),
    "negative edge": (_set(SOURCE, "edge_index", _poke(-1, -1)), r"row 1 needs to be in \[0, 66\)"),
    "edge dtype": (_set(SOURCE, "edge_index", torch.Tensor.int), "edge_index: .* torch.int64"),
    "edge type": (_set(SOURCE, "edge_type", _poke(0, 5)), r"edge_type: needs to be in \[0, 5\)"),
    "edge types": (_set(SOURCE, "edge_type", lambda x: x[1:]), "edge_type: needs shape"),
    "message passing": (
        lambda data: data[ANCHOR_EDGE].update({"edge_index": data[ANCHOR_EDGE].edge_label_index}),
        "edge_index: is not allowed",
    ),
    "link range": (_set(ANCHOR_EDGE, "edge_label_index", _poke(0, 66)), "edge_label_index: row 0"),
    "link twice": (_link_twice, "edge_label_index: holds a link twice"),
    "mask overlap": (_set(ANCHOR_EDGE, "train_mask", lambda x: x | True), "disjoint"),
    "mask hole": (_set(ANCHOR_EDGE, "train_mask", lambda x: x & False), "cover all links"),
    "no test mask": (_delete(ANCHOR_EDGE, "test_mask"), "test_mask: is missing"),
    "no links": (lambda data: data.__delitem__(ANCHOR_EDGE), "anchor.*: is missing"),
    "no triples": (lambda data: data.__delitem__(SOURCE), "relation.*: is missing"),
    "no graph": (lambda data: data.__delitem__("target"), "'target'.*: is missing"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken(case: str, fake: AlignmentData) -> None:
    change, message = BROKEN[case]
    data = copy.copy(fake)
    change(data)
    with pytest.raises(ValueError, match=message):
        validate(data)


def test_sparse_rows_need_a_true_mask(fake: AlignmentData) -> None:
    fake["source"].relation_mask = torch.zeros_like(fake["source"].relation_mask)
    with pytest.raises(ValueError, match=r"x_relation: row .* needs to be zeros"):
        validate(fake)


def test_sparse_needs_to_be_coalesced(fake: AlignmentData) -> None:
    x = fake["source"].x_relation
    fake["source"].x_relation = torch.sparse_coo_tensor(
        x.indices(), x.values(), x.shape, is_coalesced=False, check_invariants=True
    )
    with pytest.raises(ValueError, match="x_relation: needs to be coalesced"):
        validate(fake)
