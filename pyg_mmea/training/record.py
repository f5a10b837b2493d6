"""What the ledger of a run says of the labels in use."""

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.calibration import Ledger, replay
from pyg_mmea.typing import SIDES

_Entry = dict[str, Any]


def record(ledger: Ledger, entries: Iterable[_Entry], epoch: int, data: HeteroData) -> None:
    """Adds entries to a ledger, with the URIs of their pairs, so that it can be read without the
    data.

    Args:
        ledger (Ledger): The ledger.
        entries (iterable): Such as a round of calibration gives.
        epoch (int): The epoch that they come after.
        data (HeteroData): The pair.
    """
    uris = [data[side].uri for side in SIDES]
    ledger.append({"epoch": epoch, **_named(entry, uris)} for entry in entries)


def settle(
    ledger: Ledger,
    labels: Tensor,
    data: HeteroData,
    epoch: int,
    discarded: Sequence[_Entry] = (),
) -> None:
    """Brings a ledger to the pseudo-labels in use, which differ where another epoch was selected,
    where a training was repeated, and where a decision was undone.

    Args:
        ledger (Ledger): The ledger.
        labels (torch.Tensor): The pseudo-labels in use :math:`(2, P)`.
        data (HeteroData): The pair.
        epoch (int): The epoch that the changes come after, unless the ledger knows a later one.
        discarded (sequence): Entries that say why labels ended that it may have in use.
    """
    history = replay(ledger.read())
    before = history[max(history)] if history else set()
    now = {tuple(pair) for pair in labels.t().tolist()}
    entries = [entry for entry in discarded if tuple(entry["pair"]) in before]
    said = {tuple(entry["pair"]) for entry in entries}
    entries += _changes(before - now - said, "drop", "not in use any more")
    entries += _changes(now - before, "accept", "in use again")
    last = max(history, default=-1)
    record(ledger, entries, max(epoch, last), data)


def _changes(pairs: Iterable[tuple[int, ...]], decision: str, reason: str) -> list[_Entry]:
    return [{"pair": list(pair), "decision": decision, "reason": reason} for pair in sorted(pairs)]


def _named(entry: _Entry, uris: list[list[str]]) -> _Entry:
    if "pair" not in entry:
        return entry
    return {**entry, "uri": [uri[i] for uri, i in zip(uris, entry["pair"], strict=True)]}
