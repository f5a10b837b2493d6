"""Features kept by the hash of what they were made of."""

import logging
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from pyg_mmea.utils.io import atomic_write

logger = logging.getLogger(__name__)


def read_cache(path: Path, num_features: int) -> dict[str, np.ndarray]:
    """Rows by hash; none if there is no cache, or it is broken or of another width."""
    try:
        with np.load(path, allow_pickle=False) as file:
            digests, x = file["digest"], file["x"]
    except FileNotFoundError:
        return {}
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        logger.warning("Cache '%s' is broken and made anew: %s", path, error)
        return {}
    if x.ndim != 2 or x.shape != (len(digests), num_features):
        return {}
    return dict(zip(digests.tolist(), x, strict=True))


def write_cache(path: Path, rows: dict[str, np.ndarray]) -> None:
    """Keeps rows by hash; the folder is made if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "wb") as file:
        np.savez(file, digest=np.array(list(rows)), x=np.stack(list(rows.values())))
