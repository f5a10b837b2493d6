"""Tables of one's own, described by a ``pair.yaml``."""

import hashlib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from pyg_mmea.data.findings import Findings
from pyg_mmea.data.layout import FolderPair
from pyg_mmea.data.pairfeatures import NUMBER, TEXT, add_features
from pyg_mmea.data.pairfile import read_pair_file
from pyg_mmea.data.pairread import read_pair
from pyg_mmea.data.pairspec import PairFile
from pyg_mmea.data.sidetables import image_files, table_files
from pyg_mmea.datasets.base import AlignmentDataset, Split
from pyg_mmea.datasets.folder import folder_files
from pyg_mmea.typing import Modality


class TablePair(AlignmentDataset):
    """A pair of graphs from tables of one's own, as a ``pair.yaml`` describes them.

    ``pyg-mmea init`` writes that file, ``pyg-mmea datasets check`` says what is wrong with it and
    with the tables. A row is an entity. What the columns become, by their role:

    * :obj:`id`, :obj:`name`, :obj:`image`: the URI, the label (features :obj:`x_name`) and the
      picture of the entity;
    * :obj:`number`, :obj:`date`: attributes, and where both sides have a column of that name,
      together the modality :obj:`x_number`, see
      :func:`~pyg_mmea.data.values.encode_numbers`;
    * :obj:`text`: an attribute, and in the same way the modality :obj:`x_text`;
    * :obj:`category`: each value is an entity of its own that rows are related to;
    * :obj:`reference`: relations to other rows;
    * :obj:`attribute`: an attribute, whose values count under
      :obj:`features=["attribute_text"]` only.

    :obj:`features="auto"` takes all that the file describes, names, numbers and texts too: who
    names a column wants it used. The processed copy is named by the content of file and tables, so
    an edited table is read anew.

    Args:
        config (str): The ``pair.yaml``. Paths in it start from its folder.
        split (str): By default :obj:`"official"` if the links have a column that says which are
            for training, and :obj:`"random"` otherwise. (default: :obj:`"auto"`)
        seed_ratio (float, optional): Fraction of the links to learn from under :obj:`"random"`;
            the others measure the result. (default: :obj:`None`, which is :obj:`0.8`)
        val_ratio (float): Fraction of those that validate. (default: :obj:`0.25`)
        **kwargs: Arguments of :class:`~pyg_mmea.datasets.AlignmentDataset`.

    Raises:
        DataError: If a file is missing or broken.
        ValueError: If an argument is out of range.
    """

    own_modalities = (NUMBER, TEXT)
    default_seed_ratio = 0.8

    def __init__(
        self,
        config: str,
        split: Split | str = "auto",
        seed_ratio: float | None = None,
        val_ratio: float = 0.25,
        **kwargs: Any,
    ) -> None:
        self.config = Path(config).resolve()  # a run finds the copy of it from any folder
        chosen = split if split != "auto" else self._default_split()
        super().__init__(
            str(self.config.parent),
            split=chosen,  # type: ignore[arg-type]
            seed_ratio=seed_ratio,
            val_ratio=val_ratio,
            **kwargs,
        )

    def _default_split(self) -> str:
        links = self.pair_file.links
        return "official" if links.split or links.folder else "random"

    @cached_property
    def pair_file(self) -> PairFile:
        """What the file says."""
        pair = read_pair_file(self.config, Findings(strict=True))
        assert pair is not None  # strict findings raise
        return pair

    @property
    def full_name(self) -> str:
        return f"TablePair/{self.config.parent.name}/{self.config.stem}"

    def input_files(self) -> Iterable[Path]:
        yield self.config
        yield from table_files(self.pair_file)
        yield from image_files(self.pair_file)
        for folder in {self.pair_file.source.folder, self.pair_file.target.folder} - {""}:
            yield from folder_files(self.pair_file.find(folder))

    def file_state(self, path: Path) -> object:
        if path != self.config and path not in set(table_files(self.pair_file)):
            return super().file_state(path)  # pictures are many
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def read(self) -> FolderPair:
        findings = Findings(strict=True)
        content = read_pair(self.pair_file, findings)
        assert content is not None  # strict findings raise
        findings.log()
        fits = add_features(content.sides, self.features, self.text_encoder, self.fits)
        source, target = (side.graph for side in content.sides)
        hint = f"'links' of {self.config} names no column for 'split'"
        return FolderPair(source, target, content.links, content.seed_mask, None, hint, fits)

    def choose_features(self, pair: FolderPair) -> list[str]:
        graphs = (pair.source, pair.target)
        has = {
            Modality.RELATION: any(len(graph.triples) for graph in graphs),
            Modality.ATTRIBUTE: any(len(graph.attributes) for graph in graphs),
            Modality.IMAGE: all(graph.image_path for graph in graphs),
            Modality.NAME: all(graph.name for graph in graphs),
        }
        return [*(str(name) for name, there in has.items() if there), *pair.source.features]
