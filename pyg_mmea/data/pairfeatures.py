"""Features of the columns that both tables of a pair have."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyg_mmea.data.fits import Fits
from pyg_mmea.data.sidebuilder import Side
from pyg_mmea.data.text import encode_texts
from pyg_mmea.data.values import NUM_BUMPS, encode_numbers
from pyg_mmea.errors import DataError
from pyg_mmea.utils.io import cache_folder

# Modalities of the columns, beside those of the library: numbers and dates in one, texts in one.
NUMBER, TEXT = "number", "text"


def add_features(
    sides: tuple[Side, Side],
    wanted: Iterable[str] | None,
    text_encoder: str,
    fitted: Fits | None = None,
) -> dict[str, dict[str, Any]]:
    """Gives both graphs the features of the columns that have a common name.

    Args:
        sides (tuple[Side, Side]): The graphs, which are changed.
        wanted (Iterable[str], optional): Modalities to make, by default :obj:`"number"` and
            :obj:`"text"`, as far as there are any.
        text_encoder (str): See :func:`~pyg_mmea.data.encode_texts`.
        fitted (dict, optional): What the features of an earlier pair were fitted to.
            (default: :obj:`None`)

    Returns:
        dict: What the features were fitted to, by modality; see
        :func:`~pyg_mmea.data.feature_fits`.

    Raises:
        DataError: If a column is missing that the earlier pair had.
    """
    chosen = (NUMBER, TEXT) if wanted is None else tuple(wanted)
    fitted = fitted or {}
    fits: dict[str, dict[str, Any]] = {}
    numbers = [name for name in sides[0].numbers if name in sides[1].numbers]
    texts = [name for name in sides[0].texts if name in sides[1].texts]
    if NUMBER in chosen and (numbers or NUMBER in fitted):
        fits[NUMBER] = dict(fitted[NUMBER]) if NUMBER in fitted else _quantiles_of(sides, numbers)
        _check_columns(fits[NUMBER]["columns"], numbers, NUMBER)
        _add_numbers(sides, fits[NUMBER])
    if TEXT in chosen and (texts or TEXT in fitted):
        fits[TEXT] = dict(fitted.get(TEXT, {"columns": texts}))
        _check_columns(fits[TEXT]["columns"], texts, TEXT)
        _add_texts(sides, fits[TEXT]["columns"], text_encoder)
    return fits


def _check_columns(wanted: list[str], found: list[str], role: str) -> None:
    for name in wanted:
        if name not in found:
            raise DataError(f"both tables need a column '{name}' of role {role}, as in training")


def _quantiles_of(sides: tuple[Side, Side], columns: list[str]) -> dict[str, Any]:
    """The numbers that those of another pair are to be compared with, sorted."""
    fit: dict[str, Any] = {"columns": columns, "joint": [], "quantiles": []}
    for name in columns:
        fit["joint"].append(sides[0].scale[name] == sides[1].scale[name] == "joint")
        values = [side.numbers[name] for side in sides]
        fit["quantiles"].append(
            [torch.from_numpy(np.sort(value[~np.isnan(value)])) for value in values]
        )
    return fit


def _add_numbers(sides: tuple[Side, Side], fit: Mapping[str, Any]) -> None:
    width = NUM_BUMPS * len(fit["columns"])
    blocks = [torch.zeros(side.graph.num_entities, width) for side in sides]
    columns = zip(fit["columns"], fit["joint"], fit["quantiles"], strict=True)
    for i, (name, joint, quantiles) in enumerate(columns):
        values = (sides[0].numbers[name], sides[1].numbers[name])
        among = (quantiles[0].numpy(), quantiles[1].numpy())
        made = encode_numbers(*values, "joint" if joint else "each", among)
        for block, rows in zip(blocks, made, strict=True):
            block[:, i * NUM_BUMPS : (i + 1) * NUM_BUMPS] = torch.from_numpy(rows)
    for side, block in zip(sides, blocks, strict=True):
        side.graph.features[NUMBER] = _normalised(block)


def _add_texts(sides: tuple[Side, Side], names: list[str], text_encoder: str) -> None:
    columns = []
    for name in names:  # of both sides together, since rarity counts over both
        both = [text for side in sides for text in side.texts[name]]
        columns.append(encode_texts(both, text_encoder, cache_dir=cache_folder() / "texts")[0])
    x = columns[0] if len(names) == 1 else torch.cat(columns, dim=1)
    sizes = [side.graph.num_entities for side in sides]
    for side, rows in zip(sides, x.split(sizes), strict=True):
        side.graph.features[TEXT] = _normalised(rows)


def _normalised(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of length one, in place, and which are not zero."""
    length = x.square().sum(dim=1).sqrt_()
    x /= length.clamp(min=1e-12).view(-1, 1)
    return x, length > 0
