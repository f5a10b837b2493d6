"""The folder layout of EVA, MCLEA and MEAformer."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from pyg_mmea.data.layoutfiles import (
    EntityIndex,
    add_attributes,
    read_entities,
    read_image_folder,
    read_links,
    read_names,
    read_triples,
)
from pyg_mmea.data.tables import GraphTables
from pyg_mmea.errors import DataError


@dataclass
class FolderPair:
    """What a folder holds.

    Args:
        source (GraphTables): Source graph.
        target (GraphTables): Target graph.
        links (Tensor): All known links, local ids :math:`(2, A)`.
        seed_mask (Tensor, optional): True for the official seeds :math:`(A)`, if there are any.
        index (EntityIndex, optional): The numbering of the folder's files, if they have one.
        split_hint (str): Why there is no official split.
        fits (dict): What ready-made features were fitted to, see
            :func:`~pyg_mmea.data.feature_fits`.
    """

    source: GraphTables
    target: GraphTables
    links: Tensor
    seed_mask: Tensor | None
    index: EntityIndex | None
    split_hint: str = ""
    fits: dict[str, dict[str, Any]] = field(default_factory=dict)


def read_folder(folder: Path, need_relation_names: bool = True) -> FolderPair:
    """Reads a folder in the layout of EVA, and says what is wrong with the first broken rule.

    The folder holds :obj:`ent_ids_1/2`, :obj:`rel_ids_1/2`, :obj:`triples_1/2` and the links
    :obj:`ill_ent_ids` (all), :obj:`sup_ent_ids` (seeds), :obj:`ref_ent_ids` (test); where present
    also :obj:`training_attrs_1/2`, :obj:`attr_triples_1/2`, :obj:`names_1/2.json` and
    :obj:`images_1/2`. Entities have ids that are unique over both graphs.

    Args:
        folder (Path): The folder.
        need_relation_names (bool): Whether missing :obj:`rel_ids_1/2` are an error. Otherwise
            relation 7 of either graph gets the URI :obj:`"unknown:7"`. (default: :obj:`True`)

    Raises:
        DataError: Names file, line and rule.
    """
    if not folder.is_dir():
        raise DataError("folder is missing", folder)
    index, uris = read_entities(folder)
    graphs = []
    for side in (0, 1):
        triples, relation_uri = read_triples(folder, side, index, need_relation_names)
        graph = GraphTables(uri=uris[side], triples=triples, relation_uri=relation_uri)
        add_attributes(graph, folder, side)
        names = folder / f"names_{side + 1}.json"
        if names.exists():
            graph.name = read_names(names, index, side)
        images = folder / f"images_{side + 1}"
        if images.is_dir():
            graph.image_path = read_image_folder(images, index, side)
        graphs.append(graph)
    links, seed_mask, hint = read_links(folder, index)
    return FolderPair(graphs[0], graphs[1], links, seed_mask, index, hint)
