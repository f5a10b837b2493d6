"""Align two CSV catalogues with pictures: from tables to a list of links.

    python examples/own_data_csv.py --out links.csv

The tables are those of the generated catalogue; put your own in their place. About a minute on
two CPU cores.
"""

import argparse
from pathlib import Path

import pandas as pd

from pyg_mmea.data import from_tables
from pyg_mmea.datasets import Catalogue
from pyg_mmea.training import Aligner, TrainingConfig
from pyg_mmea.utils import write_alignment

parser = argparse.ArgumentParser()
parser.add_argument("--root", default=None, help="where the catalogue is generated")
parser.add_argument("--num_products", type=int, default=300)
parser.add_argument("--epochs", type=int, default=40)
parser.add_argument("--target_precision", type=float, default=0.9)
parser.add_argument("--out", default="links.csv")
args = parser.parse_args()

folder = Path(Catalogue(args.root, num_products=args.num_products).root)  # has the CSV files
known = pd.read_csv(folder / "links.csv").sample(frac=0.3, random_state=0)  # links one knows

data = from_tables(
    folder / "source.csv",  # a row an entity: id, name, picture, attributes
    folder / "target.csv",
    known,
    source_triples=folder / "source_triples.csv",  # head, relation, tail
    target_triples=folder / "target_triples.csv",
    seed_ratio=1.0,  # all known links teach, a tenth of them validates
)
print(data)

aligner = Aligner(training=TrainingConfig(epochs=args.epochs)).fit(data)
links = aligner.predict(data, target_precision=args.target_precision)
write_alignment(args.out, links)
print(links.head(10).to_string())
print(f"{len(links)} links in {args.out}; {links.attrs['abstained']} entities left out")
