"""The one place where two graphs and their links become a pair."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from pyg_mmea.data.alignment_data import AlignmentData
from pyg_mmea.data.features import attribute_bag, bag_mask, relation_bag
from pyg_mmea.data.fits import Fits
from pyg_mmea.data.images import encode_images
from pyg_mmea.data.reduction import fit_reduction, reduce_features
from pyg_mmea.data.split import Masks, split_anchors
from pyg_mmea.data.tables import Features, GraphTables
from pyg_mmea.data.text import encode_texts
from pyg_mmea.data.validate import validate
from pyg_mmea.data.verbalize import attribute_text, relation_text
from pyg_mmea.errors import DataError
from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE, SIDES, Modality
from pyg_mmea.utils.io import cache_folder

# Names, texts and literal values give the answer away, so they need to be asked for.
_AUTO = (Modality.RELATION, Modality.ATTRIBUTE, Modality.IMAGE)
_MAX_VALUES, _MAX_LENGTH = 30, 300  # values of an entity, and characters of a value
_FEATURES = tuple(str(modality) for modality in Modality if modality != Modality.STRUCTURE)
_KEYS = {str(modality) for modality in Modality}


def parse_features(features: str | Iterable[str], own: Iterable[str] = ()) -> list[str] | None:
    """Checks the argument :obj:`features`; :obj:`None` stands for :obj:`"auto"`.

    Args:
        features (str or Iterable[str]): Names of modalities, or :obj:`"auto"`.
        own (Iterable[str]): Modalities that are known beside those of the library.

    Raises:
        ValueError: If a name is no modality with features.
    """
    if features == "auto":
        return None
    names = [features] if isinstance(features, str) else list(features)
    known = [*_FEATURES, *own]
    for name in names:
        if name not in known:
            raise ValueError(
                f"'features' needs to be among {', '.join(['auto', *known])} (got '{name}')"
            )
    return [modality for modality in known if modality in names]


def _has(graph: GraphTables, modality: str) -> bool:
    if modality in graph.features:
        return True
    return {
        Modality.RELATION: len(graph.triples) > 0,
        Modality.ATTRIBUTE: len(graph.attributes) > 0,
        Modality.IMAGE: graph.image_path is not None and any(graph.image_path),
        Modality.NAME: graph.name is not None,
        Modality.RELATION_TEXT: len(graph.triples) > 0,
        Modality.ATTRIBUTE_TEXT: len(graph.attribute_triples) > 0,
    }[Modality(modality)]


def _encode_images(
    graphs: tuple[GraphTables, GraphTables], encoder: str, fitted: Mapping[str, Tensor] | None
) -> tuple[list[Features], dict[str, Tensor]]:
    """Encodes the pictures of both graphs together, since reduced features are comparable only
    if one projection made them; returns that, too.
    """
    paths = [path for graph in graphs for path in graph.image_path or [None] * graph.num_entities]
    x, mask = encode_images(paths, encoder, cache_dir=cache_folder() / "images")
    fit: dict[str, Tensor] = {}
    if encoder == "handcrafted" and fitted is not None:
        x, fit = reduce_features(x, mask, fitted=fitted), dict(fitted)
    elif encoder == "handcrafted":
        x, fit = fit_reduction(x, mask)
    sizes = [graph.num_entities for graph in graphs]
    return list(zip(x.split(sizes), mask.split(sizes), strict=True)), fit


def _encode_names(graphs: tuple[GraphTables, GraphTables], encoder: str) -> list[Features]:
    """Encodes the names of both graphs together, since their rarity counts over both."""
    names = [name for graph in graphs for name in graph.name or [""] * graph.num_entities]
    x, mask = encode_texts(names, encoder, cache_dir=cache_folder() / "texts")
    sizes = [graph.num_entities for graph in graphs]
    return list(zip(x.split(sizes), mask.split(sizes), strict=True))


def _add_features(
    data: AlignmentData,
    graphs: tuple[GraphTables, GraphTables],
    modality: str,
    image_encoder: str,
    text_encoder: str,
    fitted: Fits,
) -> None:
    ready = [modality in graph.features for graph in graphs]
    if any(ready) and not all(ready):
        raise DataError(f"Ready-made '{modality}' features are given for one graph only")
    both: list[Features]
    if all(ready):
        both = [graph.features[modality] for graph in graphs]
    elif modality in (Modality.RELATION, Modality.ATTRIBUTE):
        make = relation_bag if modality == Modality.RELATION else attribute_bag
        *bags, vocabulary = make(*graphs, vocabulary=fitted.get(modality, {}).get("vocabulary"))
        data[f"{modality}_vocabulary"] = vocabulary
        both = [(bag, bag_mask(bag)) for bag in bags]
    elif modality == Modality.IMAGE:
        both, fit = _encode_images(graphs, image_encoder, fitted.get(modality))
        if fit:
            data[f"{modality}_fit"] = fit
    elif modality == Modality.NAME:
        both = _encode_names(graphs, text_encoder)
    else:
        verbalize = relation_text if modality == Modality.RELATION_TEXT else attribute_text
        both = [verbalize(graph, text_encoder) for graph in graphs]
    for side, (x, mask) in zip(SIDES, both, strict=True):
        data[side][f"x_{modality}"] = x
        data[side][f"{modality}_mask"] = mask


def make_pair(
    source: GraphTables,
    target: GraphTables,
    links: Tensor,
    masks: Masks | None = None,
    features: str | Iterable[str] = "auto",
    image_encoder: str = "handcrafted",
    text_encoder: str = "hashing",
    dataset: str = "custom",
    fitted: Fits | None = None,
) -> AlignmentData:
    """Builds the pair object of two graphs and the links between them.

    Args:
        source (GraphTables): Source graph.
        target (GraphTables): Target graph.
        links (Tensor): Local ids of the linked entities :math:`(2, A)`.
        masks (tuple[Tensor, Tensor, Tensor], optional): Training, validation and test mask. By
            default :func:`split_anchors` draws them. (default: :obj:`None`)
        features (str or Iterable[str]): Modalities to build features for. :obj:`"auto"` takes
            relations, attributes and images, those that a graph has. Names and texts need to be
            asked for by name, since they tend to give the answer away; so do ready-made features
            of a name of one's own. (default: :obj:`"auto"`)
        image_encoder (str): What turns pictures into features; see
            :func:`~pyg_mmea.data.encode_images`. Those of :obj:`"handcrafted"` are reduced by
            :func:`~pyg_mmea.data.reduce_features`, over both graphs together.
            (default: :obj:`"handcrafted"`)
        text_encoder (str): What turns names and triples into features; see
            :func:`~pyg_mmea.data.encode_texts`. (default: :obj:`"hashing"`)
        dataset (str): Name that results are reported under. (default: :obj:`"custom"`)
        fitted (dict, optional): What the features of an earlier pair were fitted to, see
            :func:`~pyg_mmea.data.feature_fits`, so that those of this pair mean the same.
            (default: :obj:`None`, which fits them to this pair)

    Returns:
        AlignmentData: A validated pair. Where the values of attributes are known, entities have
        them as :obj:`attribute_values`, a list of JSON texts ``[[attribute URI, value], ...]``
        or :obj:`None`, to be looked at and not to be learned from.

    Raises:
        DataError: If a modality is asked for that neither graph has.
        ValueError: If an argument or the result breaks a rule.
    """
    graphs = (source, target)
    wanted = parse_features(features, (name for name in source.features if name not in _KEYS))
    data = AlignmentData()
    data.dataset = dataset
    for side, graph in zip(SIDES, graphs, strict=True):
        data[side].update(_entity_columns(graph))
        head, relation, tail = graph.triples.unbind(1)
        store = data[RELATION_EDGE[side]]
        store.edge_index = torch.stack([head, tail])
        store.edge_type = relation.contiguous()
        store.relation_uri = list(graph.relation_uri)

    for modality in _AUTO if wanted is None else wanted:
        if any(_has(graph, modality) for graph in graphs):
            _add_features(data, graphs, modality, image_encoder, text_encoder, fitted or {})
        elif wanted is not None:
            raise DataError(f"'features' asks for '{modality}', but '{dataset}' has none")

    anchors = data[ANCHOR_EDGE]
    anchors.edge_label_index = links
    train, val, test = split_anchors(links.size(1)) if masks is None else masks
    anchors.train_mask, anchors.val_mask, anchors.test_mask = train, val, test
    validate(data)
    return data


def _entity_columns(graph: GraphTables) -> dict[str, Any]:
    columns: dict[str, Any] = {"num_nodes": graph.num_entities, "uri": list(graph.uri)}
    if graph.name is not None:
        columns["name"] = list(graph.name)
    if graph.image_path is not None:
        columns["image_path"] = list(graph.image_path)
    if len(graph.attribute_triples) > 0:
        columns["attribute_values"] = _attribute_values(graph)
    return columns


def _attribute_values(graph: GraphTables) -> list[str | None]:
    """The literal values of each entity as JSON, ``[[attribute URI, value], ...]``: for people to
    look at, so that only the first of many values and the start of long ones are kept."""
    found: list[list[list[str]]] = [[] for _ in range(graph.num_entities)]
    rows = zip(graph.attribute_triples.tolist(), graph.attribute_value, strict=True)
    for (entity, attribute), value in rows:
        if len(found[entity]) < _MAX_VALUES:
            found[entity].append([graph.attribute_uri[attribute], value[:_MAX_LENGTH]])
    return [json.dumps(each, ensure_ascii=False) if each else None for each in found]
