"""Pairs of graphs: building, checking, splitting, changing."""

from pyg_mmea.data.alignment import make_pair
from pyg_mmea.data.alignment_data import AlignmentData
from pyg_mmea.data.check import check_folder
from pyg_mmea.data.features import attribute_bag, relation_bag
from pyg_mmea.data.fits import feature_fits, read_fits
from pyg_mmea.data.frames import from_tables
from pyg_mmea.data.images import encode_images
from pyg_mmea.data.layout import FolderPair, read_folder
from pyg_mmea.data.networkx import from_networkx, to_networkx
from pyg_mmea.data.noise import CorruptSeeds, HideFeatures, SwapFeatures
from pyg_mmea.data.pairread import check_pair
from pyg_mmea.data.partition import partition_pair
from pyg_mmea.data.partitioned import PartitionedPair
from pyg_mmea.data.pickles import FeatureTable, load_features
from pyg_mmea.data.pivot import PivotAnchors
from pyg_mmea.data.rdf import from_rdf
from pyg_mmea.data.reduction import reduce_features
from pyg_mmea.data.split import sample_links, split_anchors, split_seeds
from pyg_mmea.data.tables import GraphTables
from pyg_mmea.data.text import encode_texts
from pyg_mmea.data.transforms import DropModality, HideAnchors
from pyg_mmea.data.validate import validate

__all__ = [
    "AlignmentData",
    "CorruptSeeds",
    "DropModality",
    "FeatureTable",
    "FolderPair",
    "GraphTables",
    "HideAnchors",
    "HideFeatures",
    "PartitionedPair",
    "PivotAnchors",
    "SwapFeatures",
    "attribute_bag",
    "check_folder",
    "check_pair",
    "encode_images",
    "encode_texts",
    "feature_fits",
    "from_networkx",
    "from_rdf",
    "from_tables",
    "load_features",
    "make_pair",
    "partition_pair",
    "read_fits",
    "read_folder",
    "reduce_features",
    "relation_bag",
    "sample_links",
    "split_anchors",
    "split_seeds",
    "to_networkx",
    "validate",
]
