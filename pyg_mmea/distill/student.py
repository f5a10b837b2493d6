"""A distilled model as users have it: embeds pairs, and goes to a folder and back."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.data.textfile import read_json
from pyg_mmea.distill.encoder import EntityEncoder
from pyg_mmea.distill.inputs import InputSpec, entity_inputs, take_rows
from pyg_mmea.errors import DataError
from pyg_mmea.typing import SIDES
from pyg_mmea.utils.io import RESULT, load_tensors

SETTINGS = "student.json"
WEIGHTS = "student.pt"
EMBEDDINGS = "embeddings.pt"
Storage = Literal["float32", "float16"]
_ROWS = 4096  # entities embedded at once


@dataclass
class Student:
    """An entity encoder with what was measured of it.

    Args:
        encoder (EntityEncoder): Embeds entities.
        result (dict): What :func:`~pyg_mmea.distill.distill` and
            :func:`~pyg_mmea.distill.compare` say of it.
    """

    encoder: EntityEncoder
    result: dict[str, Any]

    def embed(self, data: HeteroData) -> dict[str, Tensor]:
        """Embeds all entities of a pair, of the one that was distilled or of another one whose
        features are made in the same way.

        Returns:
            dict: Rows of unit length for each graph, ``{'source': [N_s, C], 'target': [N_t, C]}``.

        Raises:
            ValueError: If the features of the pair are others, or of other sizes.
        """
        return {
            side: embed_rows(self.encoder, entity_inputs(data, side, self.encoder.spec))
            for side in SIDES
        }

    def stored(self, storage: Storage) -> Self:
        """Returns a copy that has the precision of what :meth:`save` writes."""
        encoder = _make(self.settings)
        state = stored_state(self.encoder, getattr(torch, storage))
        encoder.load_state_dict({name: x.float() for name, x in state.items()})
        return type(self)(encoder.eval(), dict(self.result))

    @property
    def settings(self) -> dict[str, Any]:
        """What the encoder is built of, as plain values."""
        encoder = self.encoder
        return {
            "spec": asdict(encoder.spec),
            "channels": encoder.channels,
            "dropout": encoder.dropout,
        }

    def save(
        self, folder: str | Path, embeddings: dict[str, Tensor], storage: Storage = "float32"
    ) -> None:
        """Writes :obj:`student.json`, :obj:`student.pt`, :obj:`embeddings.pt` and
        :obj:`result.json` into a folder that exists and is empty; see
        :func:`~pyg_mmea.utils.atomic_folder`.

        Args:
            folder (str or Path): Where to.
            embeddings (dict): What :meth:`embed` returns for the pair that was distilled.
            storage (str): Type of weights and embeddings in the files; mean and standard deviation
                of features stay as they are. (default: :obj:`"float32"`)
        """
        folder = Path(folder)
        dtype = getattr(torch, storage)
        torch.save(stored_state(self.encoder, dtype), folder / WEIGHTS)
        torch.save({side: x.to(dtype) for side, x in embeddings.items()}, folder / EMBEDDINGS)
        for name, content in ((SETTINGS, self.settings), (RESULT, self.result)):
            text = json.dumps(content, indent=2, ensure_ascii=False)
            (folder / name).write_text(f"{text}\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Loads what :meth:`save` wrote, without the embeddings.

        Raises:
            FileNotFoundError: If the folder holds no student.
            DataError: If its files are broken.
        """
        folder = Path(folder)
        if not (folder / SETTINGS).is_file():
            raise FileNotFoundError(
                f"{folder / SETTINGS} is missing; 'pyg-mmea distill RUN --out {folder}' writes it"
            )
        settings, state = read_json(folder / SETTINGS), load_tensors(folder / WEIGHTS)
        try:
            encoder = _make(settings)
            encoder.load_state_dict({name: x.float() for name, x in state.items()})
        except (LookupError, TypeError, AttributeError, ValueError, RuntimeError) as error:
            raise DataError("is no student", folder / WEIGHTS) from error
        return cls(encoder.eval(), read_json(folder / RESULT))


def stored_state(encoder: EntityEncoder, dtype: torch.dtype) -> dict[str, Tensor]:
    """What is written of an encoder."""
    weights = {name for name, _ in encoder.named_parameters()}
    return {
        name: x.to(dtype) if name in weights else x  # the scale of a feature may be any number
        for name, x in encoder.state_dict().items()
    }


def _make(settings: dict[str, Any]) -> EntityEncoder:
    return EntityEncoder(**{**settings, "spec": InputSpec(**settings["spec"])})


@torch.no_grad()
def embed_rows(encoder: EntityEncoder, inputs: dict[str, Tensor]) -> Tensor:
    """Embeds entities by their inputs, without dropout, a block at a time."""
    training = encoder.training
    encoder.eval()
    num = next(iter(inputs.values())).size(0)
    rows = torch.arange(num)
    blocks = [encoder(take_rows(inputs, part)) for part in rows.split(_ROWS)]
    encoder.train(training)
    return torch.cat(blocks)
