"""The high-level interface: fit, evaluate, predict."""

import copy
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self

import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea.calibration import Calibrator, Ledger, Votes
from pyg_mmea.data import sample_links, validate
from pyg_mmea.data.alignment_data import entity_fingerprint
from pyg_mmea.data.textfile import read_json
from pyg_mmea.errors import DataError
from pyg_mmea.loss.objective import PCMEAObjective
from pyg_mmea.metrics import evaluate_alignment
from pyg_mmea.nn.models import PCMEA, AlignmentModel, PairSpec
from pyg_mmea.training.config import TrainingConfig
from pyg_mmea.training.extension import extend
from pyg_mmea.training.fitting import Fitting
from pyg_mmea.training.outcome import predicted_table, without_rejected
from pyg_mmea.training.resources import is_first_process
from pyg_mmea.training.trained import tell_difference
from pyg_mmea.typing import ANCHOR_EDGE
from pyg_mmea.utils.io import RESULT, atomic_write, load_tensors
from pyg_mmea.utils.pairs import contains

ALIGNER = "aligner.pt"


class Aligner:
    """Trains a model on a pair of graphs, calibrates it and aligns the rest.

    .. code-block:: python

        data = DBP15K("data/DBP15K", "zh_en")[0]
        aligner = Aligner().fit(data, out="runs/zh_en")
        aligner.result["test"]["mean"]["hits@1"]
        aligner.predict(data, target_precision=0.95)

    Only training and validation links of the pair are read while fitting; test links are looked
    at once, after selection.

    Args:
        model (Callable): Called with a :class:`~pyg_mmea.nn.PairSpec`, returns the model; a class
            such as :class:`~pyg_mmea.nn.PCMEA` or a partial of one. (default: :obj:`PCMEA`)
        objective (Callable): Called with the sizes of the model's embeddings, returns the
            objective. (default: :obj:`PCMEAObjective`)
        calibrator (Calibrator, optional): How pseudo-labels and confidence are found; the aligner
            gets a copy. (default: :obj:`None`, which means a
            :class:`~pyg_mmea.calibration.Calibrator` with default settings)
        calibrate (bool): If set to :obj:`False`, no pseudo-label joins training.
            (default: :obj:`True`)
        training (TrainingConfig, optional): The settings of the training.
        seed (int): Seed of initialisation, batches, dropout and negatives. (default: :obj:`0`)

    Raises:
        ValueError: If :obj:`model` or :obj:`objective` is none of these, such as a model itself.
    """

    def __init__(
        self,
        model: Callable[[PairSpec], AlignmentModel] = PCMEA,
        objective: Callable[[dict[str, int]], torch.nn.Module] = PCMEAObjective,
        calibrator: Calibrator | None = None,
        calibrate: bool = True,
        training: TrainingConfig | None = None,
        seed: int = 0,
    ) -> None:
        for name, value in (("model", model), ("objective", objective)):
            if isinstance(value, torch.nn.Module) or not callable(value):
                raise ValueError(
                    f"'{name}' needs to be a class, or a function, that makes one of the sizes of "
                    f"the data (got {value!r:.80})"
                )
        self.model_factory = model
        self.objective_factory = objective
        self.calibrator = copy.deepcopy(calibrator) or Calibrator()  # of no other aligner
        self.calibrate = calibrate
        self.training = training or TrainingConfig()
        self.seed = int(seed)
        self.result: dict[str, Any] = {}
        #: Whether :meth:`fit` had any epoch left to train.
        self.trained = False
        self._kept: dict[str, Any] = {}
        self._folder: Path | None = None  # of the run, where its ledger is

    @property
    def _state(self) -> dict[str, Any]:
        """What :meth:`fit`, :meth:`extend` or :meth:`load` keeps."""
        if not self._kept:
            raise RuntimeError("the aligner needs to be fitted or loaded first")
        return self._kept

    @property
    def embeddings(self) -> dict[str, Tensor]:
        """Joint embeddings of both graphs, ``{'source': [N_s, D], 'target': [N_t, D]}``.

        Raises:
            RuntimeError: If nothing was fitted or loaded, as by all that needs it.
        """
        return self._state["embeddings"]

    @property
    def alignment(self) -> dict[str, Any]:
        """What :meth:`predict` makes its table of: :obj:`"pairs"` :math:`(2, P)`, the candidates,
        with their :obj:`"confidence"`, :obj:`"margin"` :math:`(P)` and :obj:`"votes"`, a
        :class:`~pyg_mmea.calibration.Votes` (:obj:`None` of a run of an older version), and the
        links that were :obj:`"known"` :math:`(2, L)`."""
        part = self._state["alignment"]
        votes = part.get("votes")
        return {**part, "votes": None if votes is None else Votes(**votes)}

    @property
    def weights(self) -> dict[str, Tensor]:
        """Parameters and buffers of the model."""
        return self._state["model"]

    @property
    def refitted(self) -> bool:
        """Whether the model was trained on the validation links in the end."""
        return self._state["refitted"]

    def fit(
        self,
        data: HeteroData,
        out: str | Path | None = None,
        resume: bool = False,
        quiet: bool = False,
    ) -> Self:
        """Trains, selects on the validation links and evaluates.

        Validation links stay hidden until confidence is learned on them. Unless
        :obj:`training.refit` is off, training then goes on with all seeds: with calibration for
        :obj:`training.refit_epochs` more epochs, without it from the start, for the selected number
        of epochs. Where that does not happen, training goes on in the same way without validation
        links if people decided on pairs, so that a finished run learns from decisions, too.

        Args:
            data (HeteroData): The pair of graphs.
            out (str or Path, optional): Folder of the run, which :meth:`load` reads; by default
                nothing is kept. Verbs of the command line need a run of ``pyg-mmea train``.
                (default: :obj:`None`)
            resume (bool): Continue the run in :obj:`out`. (default: :obj:`False`)
            quiet (bool): Show no progress. (default: :obj:`False`)

        Raises:
            ValueError: If the pair is broken or has no link to train on, if there is no folder
                for several processes, or if the run that is resumed is of other entities, links or
                sizes of features, another class of model, another seed or other :obj:`training`
                settings; a run may go on for more epochs, and with another :obj:`accelerator`,
                :obj:`checkpoint_every`, :obj:`csls_k`, :obj:`tensorboard` or :obj:`test_links`.
            FloatingPointError: If a term of the loss is not finite; names the term.
            RuntimeError: If somebody decides on a pair while several processes start.
            FileExistsError: If :obj:`out` holds a run and :obj:`resume` is off.
        """
        validate(data)
        if out is None:
            if self.training.devices > 1:
                raise ValueError("'out' needs to be given where 'devices' is above 1 (got None)")
            with tempfile.TemporaryDirectory(prefix="pyg_mmea-") as temporary:
                self._fit(data, Path(temporary), quiet)
            return self
        folder = Path(out)
        first = is_first_process()  # the other processes find what that one has made
        made = [folder / name for name in ("checkpoints", ALIGNER, RESULT)]
        if first and not resume and any(path.exists() for path in made):
            raise FileExistsError(f"{folder} holds a run; resume it or choose another folder")
        folder.mkdir(parents=True, exist_ok=True)
        self._fit(data, folder, quiet or not first)
        self._folder = folder
        if first:
            self.save(folder)
        return self

    def _fit(self, data: HeteroData, folder: Path, quiet: bool) -> None:
        fitting = Fitting(
            data,
            folder,
            self.model_factory,
            self.objective_factory,
            self.calibrator,
            self.calibrate,
            self.training,
            self.seed,
            quiet,
        )
        self._kept = fitting.run()
        self.trained = fitting.trained
        tested = {"test": self._test(data, "test"), "test_all": self._test(data, "all")}
        self.result = {"run": self._state["run"], **fitting.summary(), **tested}

    def _test(self, data: HeteroData, candidates: Literal["test", "all"]) -> dict[str, Any] | None:
        if self.links(data, "test").size(1) == 0:
            return None
        config = self.training
        return self.evaluate(
            data, candidates=candidates, csls_k=config.csls_k, num_links=config.test_links
        )

    def evaluate(
        self,
        data: HeteroData,
        split: Literal["test", "val", "train"] = "test",
        candidates: Literal["test", "all"] = "test",
        csls_k: int = 10,
        matching: str = "none",
        num_links: int | None = None,
    ) -> dict[str, Any]:
        """Measures the joint embeddings on the links of a split.

        Args:
            data (HeteroData): The pair that was fitted.
            split (str): Which links. (default: :obj:`"test"`)
            candidates (str): :obj:`"test"` ranks the counterparts of these links, :obj:`"all"`
                every entity of the other graph, further counterparts by links of other splits
                among them. (default: :obj:`"test"`)
            csls_k (int): Neighbourhood of CSLS. (default: :obj:`10`)
            matching (str): See :func:`~pyg_mmea.metrics.evaluate_alignment`.
                (default: :obj:`"none"`)
            num_links (int, optional): Measure a random sample of that many links, the same at
                every call, if there are more. (default: :obj:`None`)

        Raises:
            ValueError: If the split has no link, if :obj:`data` is another pair, or if :obj:`split`
                is :obj:`"val"` and the model was trained on those links in the end.
        """
        self.check(data)
        if split == "val" and self.refitted:
            raise ValueError(
                "'split' cannot be 'val': the model was trained on the validation links in the "
                "end; what it reached before is in result.json"
            )
        links = self.links(data, split)
        if links.size(1) == 0:
            raise ValueError(f"'data' needs to have links with '{split}_mask' (got none)")
        links = sample_links(links, num_links)
        z = self.embeddings
        return evaluate_alignment(z["source"], z["target"], links, candidates, csls_k, matching)

    def links(self, data: HeteroData, split: Literal["test", "val", "train"]) -> Tensor:
        """Returns the links of a split, of :obj:`"test"` and :obj:`"val"` without those that people
        accepted, which were trained on :math:`(2, L)`.

        Args:
            data (HeteroData): The pair that was fitted.
            split (str): Which links.
        """
        anchors = data[ANCHOR_EDGE]
        links = anchors.edge_label_index[:, anchors[f"{split}_mask"]]
        if split == "train":
            return links
        return links[:, ~contains(self._state["accepted"].to(links.device), links)]

    def predict(
        self,
        data: HeteroData,
        target_precision: float | None = None,
        only_new: bool = False,
    ) -> pd.DataFrame:
        """Returns the alignment: known links (training and validation), and all candidates, pairs
        that are each other's best. Of a run that has a folder, pairs that people rejected since the
        training are left out, and counted in ``.attrs["rejected"]``.

        Confidence is learned on validation links, so it is about the probability that a pair is
        right given that at least one of its entities has a counterpart, and rather too low, see
        :class:`~pyg_mmea.calibration.VoteConfidence`. For pairs of two entities without any it is
        too high.

        Args:
            data (HeteroData): The pair that was fitted.
            target_precision (float, optional): Keep the most confident pairs, as many as are
                expected to have this precision; see
                :func:`~pyg_mmea.calibration.precision_threshold` for what is promised.
                (default: :obj:`None`, which keeps all)
            only_new (bool): Leave out pairs of two entities that were trained on; for an aligner
                that :meth:`extend` made. (default: :obj:`False`)

        Returns:
            pandas.DataFrame: ``source``, ``target`` (URIs), ``confidence``, ``rank_margin``,
            ``origin`` (:obj:`"known"`, :obj:`"predicted"`, or :obj:`"pivot"` for seeds of
            :class:`~pyg_mmea.data.PivotAnchors`, which have no confidence), for each voter,
            modalities and the momentum encoder, ``rank_<voter>``, the worse of the ranks that it
            gives either entity for the other (from 1, halves under ties; none where it abstains,
            or of known links), and ``run``, the id of the run as in :obj:`result.json`; best
            first. The number of source entities left out (with :obj:`only_new`, of new ones) is
            in ``.attrs["abstained"]``, what selected the pairs in ``.attrs["selection"]``, see
            :class:`~pyg_mmea.calibration.Threshold`.

        Raises:
            ValueError: If :obj:`target_precision` is not in (0, 1], or if :obj:`only_new` is asked
                of an aligner without new entities.
        """
        if target_precision is not None and not 0 < target_precision <= 1:
            raise ValueError(f"'target_precision' needs to be in (0, 1] (got {target_precision})")
        self.check(data)
        table = predicted_table(data, self._state, self.calibrator, target_precision, only_new)
        entries = [] if self._folder is None else Ledger.of(self._folder).read()
        return without_rejected(table, entries)

    def extend(self, data: HeteroData) -> Self:
        """Returns an aligner for a pair that has more than the one that was fitted: entities and
        triples that came since, with nothing trained anew.

        Entities are known by their URIs. New ones have no vector of their own; they get the mean
        of their neighbours' (as out-of-knowledge-base entities in `"Knowledge Transfer for
        Out-of-Knowledge-Base Entities: A Graph Neural Network Approach"
        <https://arxiv.org/abs/1706.05674>`_), and all encoders, weights of views and the confidence
        of the training. Training and validation links that the pair has in addition are known ones,
        unless people rejected them. Triples of relations that are new are left out.
        Features need to mean what they meant in training, columns of bags, too: build the pair with
        :obj:`fitted`, which datasets and :func:`~pyg_mmea.data.make_pair` take.

        Confidence was learned on entities that were trained on. For pairs of new ones, of which
        fewer views know anything, :obj:`target_precision` is an estimate.

        The result has no metrics and is not meant to be fitted.

        Args:
            data (HeteroData): The pair as it is now.

        Raises:
            ValueError: If the pair is broken, if its features mean something else than in training,
                if :obj:`model` is not the one that was trained, or if the run is of an older
                version, or was extended.
        """
        validate(data)
        if "part_weights" not in self._state:
            raise ValueError("a run of an older version cannot be extended; train it anew")
        other = copy.copy(self)
        other.calibrator = copy.copy(self.calibrator)
        other._kept = extend(self._state, data, self.model_factory, other.calibrator)
        other._kept["entities"] = entity_fingerprint(data)
        other.result = {}
        return other

    def check(self, data: HeteroData) -> None:
        """Makes sure that a pair is the one that was fitted.

        Raises:
            ValueError: If its entities are others, or in another order.
        """
        if entity_fingerprint(data) == self._state["entities"]:
            return
        difference = "its entities differ"
        if "trained" in self._state and "new" not in self._state:  # not of an older version
            difference = tell_difference(self._state["trained"]["uri"], data)
        raise ValueError(
            f"'data' needs to be the pair that was fitted, and {difference}. 'extend', and "
            f"'pyg-mmea align --extend', align what came since; all else needs the data of the "
            f"training, or a new training, which can take over the decisions of people: "
            f"'pyg-mmea train --decisions RUN'"
        )

    def save(self, folder: str | Path) -> None:
        """Writes embeddings, weights and alignment (:obj:`aligner.pt`) and :obj:`result.json`.

        Raises:
            RuntimeError: If there is nothing to save.
            ValueError: If the aligner was extended: it is no training.
        """
        if "new" in self._state:
            raise ValueError("an aligner that was extended is not saved; what it predicts can be")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / ALIGNER, "wb") as file:
            torch.save(self._state, file)
        with atomic_write(folder / RESULT, "w") as file:
            json.dump(self.result, file, indent=2)

    @classmethod
    def load(cls, folder: str | Path, **kwargs: Any) -> Self:
        """Loads what :meth:`save` wrote, for :meth:`evaluate` and :meth:`predict`.

        Args:
            folder (str or Path): Folder of the run.
            **kwargs: Arguments of the aligner that was fitted, where they were not the default:
                :obj:`calibrator` finds thresholds, and :meth:`extend` needs :obj:`model`, too.

        Raises:
            FileNotFoundError: If the folder holds no finished run.
            DataError: If its files are broken.
        """
        folder = Path(folder)
        if not (folder / ALIGNER).is_file():
            raise FileNotFoundError(f"{folder / ALIGNER} is missing; 'pyg-mmea train' writes it")
        aligner = cls(**kwargs)
        aligner._folder = folder
        aligner._kept = load_tensors(folder / ALIGNER)
        try:
            aligner.calibrator.confidence.load_state_dict(aligner._state["confidence"])
        except (LookupError, TypeError, AttributeError, ValueError, RuntimeError) as error:
            raise DataError("is no aligner", folder / ALIGNER) from error
        aligner.result = read_json(folder / RESULT)
        return aligner
