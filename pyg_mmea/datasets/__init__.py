"""Datasets: pairs of graphs with known links."""

from pyg_mmea.datasets.base import AlignmentDataset
from pyg_mmea.datasets.catalogue import Catalogue
from pyg_mmea.datasets.dbp15k import DBP15K
from pyg_mmea.datasets.fake import FakeMMKG
from pyg_mmea.datasets.folder import AlignmentFolder
from pyg_mmea.datasets.mmkb import MMKB
from pyg_mmea.datasets.rsn15k import RSN15K
from pyg_mmea.datasets.table_pair import TablePair

__all__ = [
    "DBP15K",
    "MMKB",
    "RSN15K",
    "AlignmentDataset",
    "AlignmentFolder",
    "Catalogue",
    "FakeMMKG",
    "TablePair",
]
