import json
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch_geometric.data import HeteroData

from pyg_mmea.data import read_folder
from pyg_mmea.datasets import AlignmentFolder, FakeMMKG
from pyg_mmea.typing import ANCHOR_EDGE, SIDES

Script = Callable[[str], ModuleType]


def _ends(data: HeteroData, links: torch.Tensor) -> set[tuple[str, str]]:
    return {(data["source"].uri[s], data["target"].uri[t]) for s, t in links.t().tolist()}


def test_hidden_links(script: Script, eva_like: Path, tmp_path: Path) -> None:
    module = script("incremental/incremental.py")
    module.write_part(eva_like, tmp_path / "part", 0.3)
    whole, part = (AlignmentFolder(str(root))[0] for root in (eva_like, tmp_path / "part"))
    hidden = _ends(whole, module.hidden_links(whole, part))
    masks = [data[ANCHOR_EDGE].test_mask for data in (whole, part)]
    links = [data[ANCHOR_EDGE].edge_label_index for data in (whole, part)]
    assert len(hidden) > 0
    assert hidden == _ends(whole, links[0][:, masks[0]]) - _ends(part, links[1][:, masks[1]])


def test_a_part_of_a_folder(
    script: Script, eva_folder: Path, eva_like: Path, tmp_path: Path
) -> None:
    module = script("incremental/incremental.py")
    module.write_part(eva_folder, tmp_path / "all", 0.0)
    whole, same = read_folder(eva_folder), read_folder(tmp_path / "all")
    assert same.source.uri == whole.source.uri
    assert torch.equal(same.links, whole.links)
    module.write_part(eva_like, tmp_path / "half", 0.5)
    whole = read_folder(eva_like)
    half = read_folder(tmp_path / "half")  # which refuses what names an entity that is gone
    assert half.links.size(1) == whole.links.size(1) // 2
    for before, after in ((whole.source, half.source), (whole.target, half.target)):
        assert len(after.uri) == len(before.uri) // 2
        assert set(after.uri) < set(before.uri)
        assert 0 < len(after.triples) < len(before.triples) / 2


def test_what_is_written(
    script: Script, eva_like: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = script("incremental/incremental.py")
    monkeypatch.setattr(module, "FOLDERS", {"emoji": eva_like.name})
    monkeypatch.setattr(module, "data_root", lambda: str(eva_like.parent))
    config = tmp_path / "quick.yaml"
    config.write_text("training: {epochs: 2, switch_epoch: 1, refit_epochs: 1, val_every: 1}\n")
    monkeypatch.setattr(module, "CONFIG", config)
    results = tmp_path / "page" / "results"
    arguments = ["incremental.py", "emoji", "--ratio", "0.3"]
    arguments += ["--work", str(tmp_path / "work"), "--results", str(results)]
    monkeypatch.setattr("sys.argv", arguments)
    module.main()
    found = json.loads((results / "emoji_0.3.json").read_text())
    assert found["num_links"] > 0
    assert 0 <= found["extended"]["ranks"]["hits@1"] <= 1
    page = (tmp_path / "page" / "README.md").read_text()
    assert page.count("| emoji noto_twemoji_en_zh | 30% |") == 2


@pytest.fixture
def eva_like(tmp_path: Path) -> Path:
    """The fake pair as a folder in the layout of EVA."""
    data, folder = FakeMMKG()[0], tmp_path / "data" / "fake"
    folder.mkdir(parents=True)
    first = (0, data["source"].num_nodes)

    def write(name: str, rows: Iterable[tuple[object, ...]]) -> None:
        text = "".join("\t".join(map(str, row)) + "\n" for row in rows)
        (folder / name).write_text(text, encoding="utf-8")

    for number, (start, side) in enumerate(zip(first, SIDES, strict=True), 1):
        store, edges = data[side], data[side, "relation", side]
        write(f"ent_ids_{number}", ((start + i, uri) for i, uri in enumerate(store.uri)))
        write(f"rel_ids_{number}", enumerate(edges.relation_uri))
        heads, tails = (edges.edge_index + start).tolist()
        write(f"triples_{number}", zip(heads, edges.edge_type.tolist(), tails, strict=True))
    anchors = data[ANCHOR_EDGE]
    links = (anchors.edge_label_index + torch.tensor(first).view(2, 1)).t()
    for name, mask in (("sup", ~anchors.test_mask), ("ref", anchors.test_mask)):
        write(f"{name}_ent_ids", links[mask].tolist())
    return folder
