import pytest
import torch

from pyg_mmea.calibration import (
    Calibrator,
    Candidates,
    SparseSimilarity,
    Votes,
    doubtful_links,
)


def votes_for(ranks: list[list[float]]) -> Votes:
    rank = torch.tensor(ranks, dtype=torch.double)
    abstains = rank.isnan()
    return Votes(["a", "b", "c"], rank, rank, rank, rank == 1, abstains)


def test_by_hand() -> None:
    # Most voters give source 0 target 0, and source 1 target 1; source 2 has no favourite.
    pairs = torch.tensor([[0, 0, 1, 2, 2], [0, 3, 1, 2, 4]])
    cosine = {"joint": torch.ones(5)}
    similarity = SparseSimilarity(pairs, cosine)
    place = torch.tensor([0, 2, 3])
    score = torch.ones(3)
    candidates = Candidates(pairs[:, place], score, score, place)
    votes = votes_for([[1, 1, 2], [1, float("nan"), float("nan")], [1, 2, 2]])

    def doubtful(*links: tuple[int, int]) -> list[bool]:
        return doubtful_links(candidates, votes, similarity, torch.tensor(links).t()).tolist()

    assert doubtful((0, 0), (0, 3)) == [False, False]  # as proposed; near
    assert doubtful((0, 4)) == [True]
    assert doubtful((4, 0)) == [True]  # the favourite of a target counts as well
    assert doubtful((1, 4)) == [True]  # one voter that does not abstain is most of one
    assert doubtful((2, 3)) == [False]  # no favourite
    assert doubtful((3, 3)) == [False]  # nothing proposed
    assert doubtful_links(candidates, votes, similarity, pairs[:, :0]).numel() == 0


NUM = 600


def world(num_wrong: int) -> tuple[dict, torch.Tensor, torch.Tensor]:
    """Two graphs whose links are known, 200 of them with targets traded by some; then which."""
    generator = torch.Generator().manual_seed(0)
    online: dict = {"source": {}, "target": {}}
    for name in ("structure", "image"):
        shared = torch.randn(NUM, 16, generator=generator)
        for side in online.values():
            side[name] = shared + 0.6 * torch.randn(NUM, 16, generator=generator)
    for side in online.values():
        side["joint"] = torch.cat([side["structure"], side["image"]], dim=1)
    links = torch.arange(200).repeat(2, 1)
    links[1, :num_wrong] = links[1, :num_wrong].roll(1)
    return online, links, links[0] != links[1]


@pytest.mark.parametrize("num_wrong", [0, 40])
def test_wrong_links_are_found(num_wrong: int) -> None:
    online, links, wrong = world(num_wrong)
    calibrator = Calibrator(num_neighbors=10)
    examined = calibrator.examine(online, None, links[:, :0])
    doubtful = doubtful_links(*examined, links)
    assert not doubtful[~wrong].any()
    assert int(doubtful.sum()) >= 0.7 * num_wrong
