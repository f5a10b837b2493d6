"""Entities that came after a training."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.calibration import Calibrator
from pyg_mmea.data import HideAnchors
from pyg_mmea.data.pivot import validates_on_pivots
from pyg_mmea.nn.models import AlignmentModel, PairSpec
from pyg_mmea.training.config import TrainingConfig
from pyg_mmea.training.fitting import align, in_precision
from pyg_mmea.training.trained import Trained, bring
from pyg_mmea.training.views import Beliefs, ViewEmbedder
from pyg_mmea.typing import ANCHOR_EDGE, RELATION_EDGE, SIDES, Embeddings
from pyg_mmea.utils.pairs import contains, judge


def extend(
    state: Mapping[str, Any],
    data: HeteroData,
    model: Callable[[PairSpec], AlignmentModel],
    calibrator: Calibrator,
) -> dict[str, Any]:
    """Embeds and aligns a pair that has more than the one that was trained on; see
    :meth:`Aligner.extend`.

    Args:
        state (dict): What an :class:`Aligner` keeps of its training.
        data (HeteroData): The pair.
        model (Callable): Makes the model.
        calibrator (Calibrator): Has learned confidence. Its rejected pairs become those of the
            new pair.

    Returns:
        dict: The same for the new pair.

    Raises:
        ValueError: If entities, relations, features, model or voters do not fit those of the
            training.
    """
    if "new" in state:
        raise ValueError("an aligner that was extended cannot be extended; extend the fitted one")
    data = copy.copy(data).to("cpu")
    trained = Trained(**state["trained"])
    config = TrainingConfig(**state["training"])
    places = trained.places(data)
    today = trained.today(places)
    visible = HideAnchors("train+val")(data)
    pair = in_precision(bring(visible, trained, state["fits"], today), config)
    spec = PairSpec.from_data(pair)
    num_trained = {side: len(uris) for side, uris in trained.uri.items()}
    online, momentum = (
        _load(model(spec), state[key], pair, places, num_trained) for key in ("model", "momentum")
    )
    known, _ = _moved(state["alignment"]["known"], today)
    calibrator.rejected, _ = _moved(state["rejected"], today)
    given = visible[ANCHOR_EDGE].edge_label_index
    given = given[:, ~contains(torch.cat([known, calibrator.rejected], dim=1), given)]
    links, kept = _moved(state["beliefs"][0], today)
    weight = state["beliefs"][1][kept]
    stand = ~(judge(links, given)[0] & ~contains(known, links))  # a link says more than a guess
    beliefs: Beliefs = (
        torch.cat([links[:, stand], given], dim=1),
        torch.cat([weight[stand], weight.new_ones(given.size(1))]),
    )
    voters = ViewEmbedder(online, momentum, config).voters(pair, beliefs, state["part_weights"])
    _check_voters(voters[0], calibrator, state["alignment"]["votes"]["voters"])
    return {
        **state,
        **align(calibrator, voters, torch.cat([known, given], dim=1)),
        "accepted": known,
        "confirmed": _moved(state["accepted"], today)[0],
        "pivots": _moved(_trained_pivots(state, data), today)[0],
        "new": {side: place < 0 for side, place in places.items()},
    }


def _trained_pivots(state: Mapping[str, Any], data: HeteroData) -> Tensor:
    """Seeds of the training that nobody has confirmed; other ones may look alike today."""
    seeds = state["alignment"]["known"]
    # Runs of older versions do not tell, and had either none or only such ones.
    return state.get("pivots", seeds if validates_on_pivots(data) else seeds[:, :0])


def _check_voters(online: Embeddings, calibrator: Calibrator, wanted: list[str]) -> None:
    names = [*(name for name in online["source"] if name != "joint"), "momentum"]
    found = [name for name in names if name not in calibrator.excluded_voters]
    if found != wanted:
        raise ValueError(
            f"'calibrator' and 'model' need to be those of the training, where {', '.join(wanted)} "
            f"had a vote (got {', '.join(found)})"
        )


def _moved(pairs: Tensor, today: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Pairs by the ids of today, and which of them still exist."""
    pairs = torch.stack([today[side][row] for side, row in zip(SIDES, pairs, strict=True)])
    kept = (pairs >= 0).all(dim=0)
    return pairs[:, kept], kept


def _load(
    model: AlignmentModel,
    state: Mapping[str, Tensor],
    pair: HeteroData,
    places: Mapping[str, Tensor],
    num_trained: Mapping[str, int],
) -> AlignmentModel:
    """Gives a model its weights; vectors of entities, a matrix of a name that ends in the side, go
    to where these are today."""
    moved = dict(state)
    for name, value in state.items():
        side = name.rpartition(".")[2]
        if side in SIDES and value.dim() == 2 and value.size(0) == num_trained[side]:
            moved[name] = entity_vectors(value, places[side], pair[RELATION_EDGE[side]].edge_index)
    model.to(next((x.dtype for x in state.values() if x.is_floating_point()), torch.float))
    try:
        model.load_state_dict(moved)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ValueError(f"'model' needs to be the one that was trained ({reason})") from error
    return model


def entity_vectors(vectors: Tensor, place: Tensor, edge_index: Tensor) -> Tensor:
    """Brings learned vectors of entities to another graph. An entity without one gets the mean of
    those of its neighbours, hop by hop; zeros if none is near.

    Args:
        vectors (torch.Tensor): Learned vectors :math:`(N, D)`.
        place (torch.Tensor): For each entity of the other graph its row in them, or -1
            :math:`(M)`.
        edge_index (torch.Tensor): Its edges :math:`(2, E)`.

    Returns:
        torch.Tensor: :math:`(M, D)`.
    """
    done = place >= 0
    out = vectors.new_zeros(place.numel(), vectors.size(1))
    out[done] = vectors[place[done]]
    sender, receiver = torch.cat([edge_index, edge_index.flip(0)], dim=1)
    while True:
        edges = done[sender] & ~done[receiver]
        if not bool(edges.any()):
            return out
        row, at, count = receiver[edges].unique(return_inverse=True, return_counts=True)
        near = out.new_zeros(row.numel(), out.size(1)).index_add_(0, at, out[sender[edges]])
        out[row] = near / count.view(-1, 1)
        done[row] = True
