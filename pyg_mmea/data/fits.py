"""What features were fitted to: vocabularies, a projection, quantiles."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from torch_geometric.data import HeteroData

from pyg_mmea.errors import DataError
from pyg_mmea.utils.io import load_tensors

Fits: TypeAlias = Mapping[str, Mapping[str, Any]]  # by modality

_KEY = "fits"


def feature_fits(data: HeteroData) -> dict[str, dict[str, Any]]:
    """Returns what the features of a pair were fitted to, by modality, so that a pair that has more
    entities gets features that mean the same: ``make_pair(..., fitted=feature_fits(data))``.

    Bags have a :obj:`"vocabulary"`, pictures of :obj:`"handcrafted"` the :obj:`"mean"` and
    :obj:`"weight"` of their projection, numbers the :obj:`"quantiles"` of each column, texts their
    :obj:`"columns"`. Features that are fitted to nothing have no entry.

    Args:
        data (HeteroData): The pair.
    """
    fits: dict[str, dict[str, Any]] = {}
    for key in data._global_store:
        modality, _, what = key.rpartition("_")
        if what == "vocabulary":
            fits[modality] = {what: data[key]}
        elif what == "fit":
            fits[modality] = data[key]
    return fits


def read_fits(path: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """Reads what features were fitted to from the :obj:`aligner.pt` of a run.

    Args:
        path (str or PathLike): The file.

    Raises:
        FileNotFoundError: If there is no such file.
        DataError: If the file is broken, or of a run of an older version.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; 'pyg-mmea train' writes it")
    content = load_tensors(path, mmap=True)
    fits = content.get(_KEY) if isinstance(content, dict) else None
    if not isinstance(fits, dict) or not all(isinstance(fit, dict) for fit in fits.values()):
        raise DataError("does not say what features were fitted to; train anew", path)
    return fits
