"""Pairs worth a look."""

from dataclasses import dataclass

import torch

from pyg_mmea.inspect import EntityCard, Inspector, PairEvidence


@dataclass
class Example:
    """A pair to show.

    Args:
        evidence (PairEvidence): The pair.
        truth (EntityCard, optional): The true counterpart of its source entity, or of its target
            entity, where the pair is wrong. (default: :obj:`None`)
        similarity (float, optional): Cosine of that counterpart. (default: :obj:`None`)
    """

    evidence: PairEvidence
    truth: EntityCard | None = None
    similarity: float | None = None


def surest(inspector: Inspector, kept: int, num: int) -> list[Example]:
    """The most confident pairs."""
    return _at(inspector, range(min(num, kept)))


def least_sure(inspector: Inspector, kept: int, num: int) -> list[Example]:
    """The least confident ones of those that are kept, not among the surest."""
    return _at(inspector, range(max(min(num, kept), kept - num), kept)[::-1])


def left_out(inspector: Inspector, kept: int, num: int) -> list[Example]:
    """The most confident ones of those that are not kept."""
    return _at(inspector, range(kept, min(kept + num, inspector.pairs.size(1))))


def errors(inspector: Inspector, num: int) -> tuple[list[Example], int]:
    """The pairs that test links contradict, most confident first, and how many there are."""
    known, right = inspector.judged(inspector.pairs)
    wrong = (known & ~right).nonzero().view(-1)
    return _at(inspector, wrong[:num].tolist()), wrong.numel()


def _at(inspector: Inspector, places: range | list[int]) -> list[Example]:
    return [_example(inspector, *inspector.pairs[:, place].tolist()) for place in places]


def _example(inspector: Inspector, source: int, target: int) -> Example:
    evidence = inspector.pair(source, target)
    if evidence.truth != "wrong":
        return Example(evidence)
    for pair in (
        *((source, other) for other in inspector.counterparts("source", source)),
        *((other, target) for other in inspector.counterparts("target", target)),
    ):
        z = inspector.aligner.embeddings
        rows = z["source"][pair[0]], z["target"][pair[1]]
        cosine = float(torch.cosine_similarity(*rows, dim=0))
        side = "target" if pair[0] == source else "source"
        card = inspector.card(side, pair[1] if side == "target" else pair[0])  # type: ignore[arg-type]
        return Example(evidence, card, cosine)
    return Example(evidence)
