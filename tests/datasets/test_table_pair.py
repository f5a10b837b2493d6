import csv
import shutil
from pathlib import Path

from pyg_mmea.data import read_folder


def _write(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def export_tables(folder: Path, out: Path) -> None:
    """Writes a folder in the layout of EVA as wide tables, triples, links with their split, and
    folders of pictures that are named by ids."""
    pair = read_folder(folder)
    out.mkdir(parents=True, exist_ok=True)
    codes = []
    for name, graph in (("source", pair.source), ("target", pair.target)):
        code = [uri.rsplit("/", 1)[-1] for uri in graph.uri]
        columns = [uri.rsplit("/", 1)[-1] for uri in graph.attribute_uri]
        cells = [[""] * len(columns) for _ in code]
        for (entity, attribute), value in zip(
            graph.attribute_triples.tolist(), graph.attribute_value, strict=True
        ):
            cells[entity][attribute] = value
        labels = graph.name or [""] * len(code)
        rows = [[code[i], labels[i], *row] for i, row in enumerate(cells)]
        _write(out / f"{name}.csv", ["id", "name", *columns], rows)
        relations = [uri.rsplit("/", 1)[-1] for uri in graph.relation_uri]
        triples = [[code[h], relations[r], code[t]] for h, r, t in graph.triples.tolist()]
        _write(out / f"{name}_triples.csv", ["head", "relation", "tail"], triples)
        if graph.image_path is not None:
            (out / f"{name}_images").mkdir(exist_ok=True)
            for i, path in enumerate(graph.image_path):
                if path is not None:
                    target = out / f"{name}_images" / f"{code[i]}{Path(path).suffix}"
                    shutil.copyfile(path, target)
        codes.append(code)
    seeds = pair.seed_mask
    assert seeds is not None
    links = [
        [codes[0][s], codes[1][t], "train" if seed else "test"]
        for (s, t), seed in zip(pair.links.t().tolist(), seeds.tolist(), strict=True)
    ]
    _write(out / "links.csv", ["source", "target", "split"], links)
