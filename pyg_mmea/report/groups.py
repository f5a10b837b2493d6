"""How well it went for which entities."""

import torch
from torch import Tensor

from pyg_mmea.data import sample_links
from pyg_mmea.inspect import Inspector
from pyg_mmea.metrics import hits_at_k, mean_reciprocal_rank
from pyg_mmea.metrics.ranks import link_ranks
from pyg_mmea.report.facts import modalities
from pyg_mmea.report.figure import SERIES, Plot, Table, number, percent, short
from pyg_mmea.typing import RELATION_EDGE, SIDES
from pyg_mmea.utils.pairs import contains

_MAX_LINKS = 20_000  # of larger test sets a sample is ranked
_DEGREES = ((0, 0), (1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (21, None))

Group = tuple[str, Tensor]


class Breakdown:
    """Ranks of the test links, for any groups of them.

    Args:
        inspector (Inspector): The run; it needs to have test links.
    """

    def __init__(self, inspector: Inspector) -> None:
        self.data = inspector.data
        self.links = sample_links(inspector.test_links, _MAX_LINKS)
        measured = inspector.aligner.result.get("test") or {}
        self.csls_k = measured.get("csls_k", 10)
        z = inspector.aligner.embeddings
        self.ranks = link_ranks(z["source"], z["target"], self.links, "test", self.csls_k)
        self.found = contains(inspector.pairs, self.links)

    def by_degree(self) -> list[Group]:
        """Groups by the smaller one of the degrees of both entities."""
        degrees = []
        for side, ends in zip(SIDES, self.links, strict=True):
            edges = self.data[RELATION_EDGE[side]].edge_index.cpu()
            count = edges.reshape(-1).bincount(minlength=self.data[side].num_nodes)
            degrees.append(count[ends])
        degree = torch.minimum(*degrees)
        groups = []
        for low, high in _DEGREES:
            if high is None:
                groups.append((f"{low} or more", degree >= low))
            else:
                name = str(low) if low == high else f"{low} to {high}"
                groups.append((name, (degree >= low) & (degree <= high)))
        return _filled(groups)

    def by_modality(self) -> list[Group]:
        """For each modality that some entity lacks, links with it on both sides and others."""
        groups = []
        for name in modalities(self.data):
            masks = [
                self.data[side][f"{name}_mask"].cpu()[ends]
                for side, ends in zip(SIDES, self.links, strict=True)
            ]
            both = masks[0] & masks[1]
            if not bool(both.all()):
                groups += [(f"{short(name)}: both", both), (f"{short(name)}: lacking", ~both)]
        return _filled(groups)

    def plot(self, key: str, title: str, groups: list[Group]) -> Plot:
        """Hits@1 of each group."""
        rows, bars = [], []
        for name, here in groups:
            forth, back = (ranks[here] for ranks in self.ranks)
            both = torch.cat([forth, back])
            bars.append((name, hits_at_k(both, 1)))
            rows.append(
                [
                    name,
                    f"{int(here.sum()):,}",
                    percent(hits_at_k(forth, 1)),
                    percent(hits_at_k(back, 1)),
                    percent(bars[-1][1]),
                    number(mean_reciprocal_rank(both)),
                    percent(float(self.found[here].double().mean())),
                ]
            )
        low, high = min(bars, key=lambda bar: bar[1]), max(bars, key=lambda bar: bar[1])
        head = ["group", "links", "source to target", "target to source", "mean", "MRR"]
        plot = Plot(
            key,
            title,
            f"Hits@1 goes from {percent(low[1])} ({low[0]}) to {percent(high[1])} ({high[0]}), "
            f"ranked among the counterparts of {self.links.size(1):,} test links; the number of "
            "links stands behind each group.",
            Table(f"{title}: Hits@1", [*head, "among the candidates"], rows),
        )
        with plot.draw("Hits@1, mean of both directions") as axes:
            places = range(len(bars))
            axes.barh(places, [value for _, value in bars], color=SERIES[0])
            counts = [int(here.sum()) for _, here in groups]
            names = [f"{name} ({n:,})" for (name, _), n in zip(bars, counts, strict=True)]
            axes.set_yticks(places, names)
            axes.invert_yaxis()
            axes.set_xlim(0, 1)
            axes.grid(False, axis="y")
        return plot


def _filled(groups: list[Group]) -> list[Group]:
    return [(name, here) for name, here in groups if bool(here.any())]
