"""What students need to know of the run that they come from."""

from pathlib import Path

from torch import Tensor

from pyg_mmea.errors import DataError
from pyg_mmea.utils.io import load_tensors

_STATE = "aligner.pt"


def teacher_weights(folder: str | Path) -> dict[str, Tensor]:
    """Parameters and buffers of the model of a finished run.

    Raises:
        FileNotFoundError: If the run is not finished.
        DataError: If the file is broken.
    """
    path = Path(folder, _STATE)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; 'pyg-mmea train' writes it")
    state = load_tensors(path, mmap=True)
    if not isinstance(state, dict) or not isinstance(state.get("model"), dict):
        raise DataError("is no aligner", path)
    return state["model"]
