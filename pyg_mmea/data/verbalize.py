"""Triples and URIs as words, for text encoders."""

import re
from urllib.parse import unquote

import torch
from torch import Tensor

from pyg_mmea.data.tables import Features, GraphTables
from pyg_mmea.data.text import TFIDF, encode_texts

# Sentences encoded at a time, which bounds memory.
_CHUNK = 8192


def local_name(uri: str) -> str:
    """The readable end of a URI: :obj:`"http://x.org/birthPlace"` gives :obj:`"birth place"`."""
    name = re.split(r"[/#]", uri.strip("<>").rstrip("/#"))[-1]
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unquote(name).replace("_", " "))
    return " ".join(name.lower().split())


def _mean_of_sentences(
    entities: Tensor, sentences: list[str], num_entities: int, encoder: str
) -> Features:
    """Encodes each different sentence once and averages over the sentences of an entity."""
    if encoder == TFIDF:
        raise ValueError(f"'text_encoder' cannot be '{TFIDF}' for triples, which are encoded apart")
    texts = sorted(set(sentences))
    number = {text: i for i, text in enumerate(texts)}
    rows = torch.tensor([number[text] for text in sentences], dtype=torch.long)
    order = rows.argsort(stable=True)
    rows, entities = rows[order], entities[order]

    x: Tensor | None = None
    count = torch.zeros(num_entities)
    # Without any sentence one empty chunk still tells the number of columns.
    for start in range(0, max(len(texts), 1), _CHUNK):
        chunk: list[str | None] = [*texts[start : start + _CHUNK]]
        encoded, mask = encode_texts(chunk or [None], encoder)
        if x is None:
            x = torch.zeros(num_entities, encoded.size(1))
        first, last = torch.searchsorted(rows, torch.tensor([start, start + _CHUNK])).tolist()
        row, entity = rows[first:last] - start, entities[first:last]
        row, entity = row[mask[row]], entity[mask[row]]
        x.index_add_(0, entity, encoded[row])
        count.index_add_(0, entity, torch.ones(entity.numel()))
    assert x is not None
    return x / count.clamp(min=1).view(-1, 1), count > 0


def relation_text(graph: GraphTables, encoder: str) -> Features:
    """Mean of the encoded sentences "relation tail-name" of the triples an entity heads."""
    uri, name = graph.uri, graph.name or [""] * graph.num_entities
    entity_names = [own or local_name(link) for own, link in zip(name, uri, strict=True)]
    relation_names = [local_name(link) for link in graph.relation_uri]
    sentences = [
        f"{relation_names[relation]} {entity_names[tail]}"
        for _, relation, tail in graph.triples.tolist()
    ]
    return _mean_of_sentences(graph.triples[:, 0], sentences, graph.num_entities, encoder)


def attribute_text(graph: GraphTables, encoder: str) -> Features:
    """Mean of the encoded sentences "attribute value" of an entity."""
    names = [local_name(link) for link in graph.attribute_uri]
    sentences = [
        f"{names[attribute]} {value}"
        for attribute, value in zip(
            graph.attribute_triples[:, 1].tolist(), graph.attribute_value, strict=True
        )
    ]
    return _mean_of_sentences(graph.attribute_triples[:, 0], sentences, graph.num_entities, encoder)
