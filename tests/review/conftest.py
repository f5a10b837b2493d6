"""A finished run whose names, URIs, values and relations try to be more than text."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from werkzeug.serving import make_server

from pyg_mmea.calibration import Ledger
from pyg_mmea.calibration.ledger import LEDGER_NAME
from pyg_mmea.cli import main
from pyg_mmea.cli.runs import load_inspector
from pyg_mmea.data import AlignmentData
from pyg_mmea.datasets import FakeMMKG
from pyg_mmea.inspect import Inspector
from pyg_mmea.review import ReviewSession
from pyg_mmea.review.access import Guard
from pyg_mmea.review.app import create_app
from pyg_mmea.training import Decisions
from pyg_mmea.typing import ANCHOR_EDGE

HOSTILE = "\"'><img src=x onerror=window.hacked=1><script>window.hacked=1</script>{{ 7 * 7 }}"
SETTINGS = [
    "--data=AlignmentFolder",
    "--data.features=[relation, attribute, name]",
    "--model.channels=16",
    "--model.modality_channels=16",
    "--training.num_negatives=20",
    "--training.epochs=4",
    "--training.switch_epoch=1",
    "--training.round_every=1",
    "--training.refit=false",
    "--training.accelerator=cpu",
    "--quiet",
]


def write_folder(folder: Path, data: AlignmentData) -> None:
    """Writes a pair in the layout of EVA."""
    folder.mkdir()
    num = {"source": 0, "target": data["source"].num_nodes}  # the first id of each
    for place, side in enumerate(("source", "target"), 1):
        first, nodes = num[side], data[side].num_nodes
        edges = data[side, "relation", side]
        rows = zip(*edges.edge_index.tolist(), edges.edge_type.tolist(), strict=True)
        triples = [f"{head + first}\t{kind}\t{tail + first}" for head, tail, kind in rows]
        uris = [f"http://{side}.org/{HOSTILE}/{i}" for i in range(nodes)]
        names = {str(i + first): f"{HOSTILE} {side} \u202e{i}" for i in range(nodes)}
        kinds = int(edges.edge_type.max()) + 1
        files = {
            f"ent_ids_{place}": [f"{i + first}\t{uri}" for i, uri in enumerate(uris)],
            f"rel_ids_{place}": [f"{i}\thttp://r.org/r{HOSTILE}{i}" for i in range(kinds)],
            f"triples_{place}": triples,
            f"attr_triples_{place}": [
                f"{uri}\thttp://a.org/{name}\t{value}"
                for i, uri in enumerate(uris)
                for name, value in (("colour", HOSTILE), (f"only_{side}", i), ("size", i % 3))
            ],
        }
        for name, lines in files.items():
            (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        (folder / f"names_{place}.json").write_text(json.dumps(names), encoding="utf-8")
        pictures = folder / f"images_{place}"
        pictures.mkdir()
        for i in range(0, nodes, 2):
            Image.new("RGB", (40, 30), (i * 4, 90, 200)).save(pictures / f"{i + first}.png")
    links = [
        f"{s}\t{t + num['target']}\n"
        for s, t in zip(*data[ANCHOR_EDGE].edge_label_index.tolist(), strict=True)
    ]
    (folder / "ill_ent_ids").write_text("".join(links))
    (folder / "sup_ent_ids").write_text("".join(links[::2]))
    (folder / "ref_ent_ids").write_text("".join(links[1::2]))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the run; nothing may be changed in it."""
    folder = tmp_path_factory.mktemp("review")
    write_folder(folder / "pair", FakeMMKG()[0])
    out = folder / "run"
    assert main(["train", *SETTINGS, f"--data.root={folder / 'pair'}", f"--out={out}"]) == 0
    return out


@pytest.fixture(scope="session")
def hostile() -> str:
    """What all names and values hold."""
    return HOSTILE


@pytest.fixture(scope="session")
def inspector(finished: Path) -> Inspector:
    return load_inspector(finished)


@pytest.fixture
def run_folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of the run to decide in."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def ledger(run_folder: Path) -> Ledger:
    return Ledger(run_folder / LEDGER_NAME)


@pytest.fixture
def session(inspector: Inspector, ledger: Ledger) -> ReviewSession:
    return ReviewSession(inspector, Decisions(inspector.data, ledger), limit=6)


@pytest.fixture
def serve(session: ReviewSession) -> Iterator[Callable[[], str]]:
    """Serves the session in a thread and gives the address with the token."""
    servers = []

    def start() -> str:
        server = make_server("127.0.0.1", 0, None, threaded=True)
        guard = Guard(server.server_port)
        server.app = create_app(session, guard, f"run {HOSTILE}", lambda: "'train' uses it")
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return guard.url

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
