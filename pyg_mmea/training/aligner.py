"""The high-level interface: fit, evaluate, predict."""

import json
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self

import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_mmea import __version__
from pyg_mmea.calibration import Calibrator, Ledger, decided_by_hand
from pyg_mmea.calibration.ledger import LEDGER_NAME
from pyg_mmea.calibration.similarity import contains
from pyg_mmea.data import HideAnchors, validate
from pyg_mmea.loss.objective import PCMEAObjective
from pyg_mmea.metrics import evaluate_alignment, pseudo_label_precision
from pyg_mmea.nn.models import PCMEA, AlignmentModel, PairSpec
from pyg_mmea.training.config import TrainingConfig
from pyg_mmea.training.module import AlignmentModule
from pyg_mmea.training.phase import PhaseResult, run_phase
from pyg_mmea.training.resources import peak_gpu_mb, peak_rss_mb
from pyg_mmea.typing import ANCHOR_EDGE, SIDES
from pyg_mmea.utils.io import atomic_write, fingerprint

logger = logging.getLogger(__name__)

_STATE = "aligner.pt"
_RESULT = "result.json"


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
        calibrator (Calibrator, optional): How pseudo-labels and confidence are found.
            (default: :obj:`None`, which means a :class:`~pyg_mmea.calibration.Calibrator` with
            default settings)
        calibrate (bool): If set to :obj:`False`, no pseudo-label joins training.
            (default: :obj:`True`)
        training (TrainingConfig, optional): The settings of the training.
        seed (int): Seed of initialisation, batches, dropout and negatives. (default: :obj:`0`)
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
        self.model_factory = model
        self.objective_factory = objective
        self.calibrator = calibrator or Calibrator()
        self.calibrate = calibrate
        self.training = training or TrainingConfig()
        self.seed = seed
        self.result: dict[str, Any] = {}
        self._num_decided = 0
        self._state: dict[str, Any] = {}

    @property
    def embeddings(self) -> dict[str, Tensor]:
        """Joint embeddings of both graphs, ``{'source': [N_s, D], 'target': [N_t, D]}``."""
        if not self._state:
            raise RuntimeError("the aligner needs to be fitted or loaded first")
        return self._state["embeddings"]

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
        of epochs.

        Args:
            data (HeteroData): The pair of graphs.
            out (str or Path, optional): Folder of the run; by default nothing is kept.
                (default: :obj:`None`)
            resume (bool): Continue the run in :obj:`out`. (default: :obj:`False`)
            quiet (bool): Show no progress. (default: :obj:`False`)

        Raises:
            ValueError: If the pair is broken or has no link to train on.
            FileExistsError: If :obj:`out` holds a run and :obj:`resume` is off.
        """
        validate(data)
        if out is None:
            with tempfile.TemporaryDirectory(prefix="pyg_mmea-") as temporary:
                self._fit(data, Path(temporary), quiet)
            return self
        folder = Path(out)
        if not resume and (folder / "checkpoints").exists():
            raise FileExistsError(f"{folder} holds a run; resume it or choose another folder")
        folder.mkdir(parents=True, exist_ok=True)
        self._fit(data, folder, quiet)
        self.save(folder)
        return self

    def _fit(self, data: HeteroData, folder: Path, quiet: bool) -> None:
        anchors = HideAnchors("train+val")(data)[ANCHOR_EDGE]
        train_links = anchors.edge_label_index[:, anchors.train_mask].cpu()
        val_links = anchors.edge_label_index[:, anchors.val_mask].cpu()
        if train_links.size(1) == 0:
            raise ValueError("'data' needs to have at least one link to train on (got none)")
        visible = HideAnchors("train")(data)
        config = self.training
        self.calibrator.reset()
        ledger = Ledger(folder / LEDGER_NAME)
        if not (folder / "checkpoints" / "select" / "last.ckpt").exists():
            ledger.resume(0)
        accepted, rejected = (
            torch.tensor(pairs, dtype=torch.long).view(-1, 2).t()
            for pairs in decided_by_hand(ledger.read())
        )
        self.calibrator.rejected = rejected
        self._num_decided = accepted.size(1) + rejected.size(1)
        train_links = torch.cat([train_links, accepted], dim=1).unique(dim=1)
        train_links = train_links[:, ~contains(rejected, train_links)]
        val_links = val_links[:, ~contains(torch.cat([accepted, rejected], dim=1), val_links)]

        module = self._module(
            visible, train_links, config.epochs, self.calibrator if self.calibrate else None
        )
        run = run_phase("select", folder, module, train_links, val_links, config, ledger, quiet)
        val = None
        if val_links.size(1) > 0:
            module.weigh(val_links)
            val = _measure(module, val_links)
        voters = module.voters()
        candidates, votes = self.calibrator.examine(*voters, train_links.to(module.device))
        info = self.calibrator.confidence.fit(candidates, votes, val_links.to(module.device))
        all_links = torch.cat([train_links, val_links], dim=1)
        refits = val is not None and config.refit
        if refits:
            if self.calibrate:
                module.go_on_with(all_links, config.refit_epochs)
            else:
                weights = module.view_weights
                module = self._module(visible, all_links, run.epochs, None)
                module.view_weights = weights
            # Its checkpoints hold for these links only: decisions by hand may come before the next.
            name = f"refit-{fingerprint(run.epochs, all_links.tolist(), rejected.tolist())}"
            again = run_phase(
                name, folder, module, all_links, val_links[:, :0], config, ledger, quiet
            )
            run.seconds, run.refit_epochs = run.seconds + again.seconds, again.epochs
            voters = module.voters()
        # Validation links are known to whoever asks for the alignment, so they are not proposed.
        candidates, votes = self.calibrator.examine(*voters, all_links.to(module.device))
        final = voters[0] if config.encoder == "online" else voters[1]
        self._state = {
            "embeddings": {side: out["joint"].cpu() for side, out in final.items()},
            "model": {name: value.cpu() for name, value in module.model.state_dict().items()},
            "view_weights": module.view_weights,
            "confidence": self.calibrator.confidence.state_dict(),
            "confidence_rule": info["rule"],
            "entities": _fingerprint(data),
            "refitted": refits,
            "accepted": accepted,
            "alignment": {
                "pairs": candidates.pairs.cpu(),
                "margin": candidates.margin.cpu(),
                "confidence": self.calibrator.confidence(candidates, votes),
                "known": all_links,
            },
        }
        num_seeds = (all_links if refits else train_links).size(1)
        self.result = self._summary(data, module, run, num_seeds, val)

    def _module(
        self, data: HeteroData, links: Tensor, epochs: int, calibrator: Calibrator | None
    ) -> AlignmentModule:
        torch.manual_seed(self.seed)
        model = self.model_factory(PairSpec.from_data(data))
        objective = self.objective_factory(model.out_channels)
        return AlignmentModule(
            model, objective, data, links, self.training, self.seed, epochs, calibrator
        )

    def _summary(
        self,
        data: HeteroData,
        module: AlignmentModule,
        run: PhaseResult,
        num_seeds: int,
        val: dict[str, Any] | None,
    ) -> dict[str, Any]:
        pseudo = self.calibrator.pool.pairs
        anchors = data[ANCHOR_EDGE]
        hidden = anchors.edge_label_index[:, ~anchors.train_mask]
        tests = bool(anchors.test_mask.any())
        return {
            "dataset": data.dataset if "dataset" in data else None,
            "model": type(module.model).__name__,
            "version": __version__,
            "git": None,
            "seed": self.seed,
            "split_seed": None,
            "device": str(module.device),
            "epochs": run.epochs,
            "refit_epochs": run.refit_epochs,
            "train_seconds": round(run.seconds, 2),
            "peak_rss_mb": peak_rss_mb(),
            "peak_gpu_mb": peak_gpu_mb(module.device),
            "num_seeds": num_seeds,
            "num_decided_by_hand": self._num_decided,
            "num_pseudo_labels": pseudo.size(1),
            "pseudo_label_precision": pseudo_label_precision(pseudo, hidden)["precision"],
            "confidence_rule": self._state["confidence_rule"],
            "selection": run.selection,
            "view_weights": module.view_weights,
            "val": val,
            "test": self.evaluate(data) if tests else None,
            "test_all": self.evaluate(data, candidates="all") if tests else None,
        }

    def evaluate(
        self,
        data: HeteroData,
        split: Literal["test", "val", "train"] = "test",
        candidates: Literal["test", "all"] = "test",
        csls_k: int = 10,
        matching: str = "none",
    ) -> dict[str, Any]:
        """Measures the joint embeddings on the links of a split.

        Args:
            data (HeteroData): The pair that was fitted.
            split (str): Which links. (default: :obj:`"test"`)
            candidates (str): :obj:`"test"` ranks the counterparts of these links, :obj:`"all"`
                every entity of the other graph. (default: :obj:`"test"`)
            csls_k (int): Neighbourhood of CSLS. (default: :obj:`10`)
            matching (str): See :func:`~pyg_mmea.metrics.evaluate_alignment`.
                (default: :obj:`"none"`)

        Raises:
            ValueError: If the split has no link, if :obj:`data` is another pair, or if :obj:`split`
                is :obj:`"val"` and the model was trained on those links in the end.
        """
        self._check(data)
        if split == "val" and self._state["refitted"]:
            raise ValueError(
                "'split' cannot be 'val': the model was trained on the validation links in the "
                "end; what it reached before is in result.json"
            )
        anchors = data[ANCHOR_EDGE]
        links = anchors.edge_label_index[:, anchors[f"{split}_mask"]]
        if split != "train":  # what people accepted was trained on
            links = links[:, ~contains(self._state["accepted"].to(links.device), links)]
        if links.size(1) == 0:
            raise ValueError(f"'data' needs to have links with '{split}_mask' (got none)")
        z = self.embeddings
        return evaluate_alignment(z["source"], z["target"], links, candidates, csls_k, matching)

    def predict(self, data: HeteroData, target_precision: float | None = None) -> pd.DataFrame:
        """Returns the alignment: known links (training and validation), and all other pairs that
        are each other's nearest neighbour.

        Confidence is learned on validation links, so it is the probability that a pair is right
        given that at least one of its entities has a counterpart. For pairs of two entities
        without any it is too high.

        Args:
            data (HeteroData): The pair that was fitted.
            target_precision (float, optional): Keep the most confident pairs, as many as are
                expected to have this precision; see
                :func:`~pyg_mmea.calibration.precision_threshold` for what is promised.
                (default: :obj:`None`, which keeps all)

        Returns:
            pandas.DataFrame: ``source``, ``target`` (URIs), ``confidence``, ``rank_margin``,
            ``origin`` (:obj:`"known"` or :obj:`"predicted"`), best first; the number of source
            entities left out is in ``.attrs["abstained"]``.

        Raises:
            ValueError: If :obj:`target_precision` is not in (0, 1].
        """
        if target_precision is not None and not 0 < target_precision <= 1:
            raise ValueError(f"'target_precision' needs to be in (0, 1] (got {target_precision})")
        self._check(data)
        part = self._state["alignment"]
        order = part["confidence"].argsort(descending=True, stable=True)
        if target_precision is not None:
            threshold = self.calibrator.threshold(part["confidence"], target_precision)
            if threshold.rule != "conformal selection":
                logger.warning(
                    "the validation links allow no promise of precision %s: pairs are selected by "
                    "%s, an estimate",
                    target_precision,
                    threshold.rule,
                )
            order = order[part["confidence"][order] >= threshold.value]
        pairs = torch.cat([part["known"], part["pairs"][:, order]], dim=1)
        num_known, num_pairs = part["known"].size(1), order.numel()
        uri_s, uri_t = data["source"].uri, data["target"].uri
        table = pd.DataFrame(
            {
                "source": [uri_s[i] for i in pairs[0].tolist()],
                "target": [uri_t[i] for i in pairs[1].tolist()],
                "confidence": [1.0] * num_known + part["confidence"][order].tolist(),
                "rank_margin": [float("nan")] * num_known + part["margin"][order].tolist(),
                "origin": ["known"] * num_known + ["predicted"] * num_pairs,
            }
        )
        table.attrs["abstained"] = data["source"].num_nodes - pairs[0].unique().numel()
        return table

    def _check(self, data: HeteroData) -> None:
        self.embeddings  # noqa: B018  # raises if there is none
        if _fingerprint(data) != self._state["entities"]:
            raise ValueError("'data' needs to be the pair that was fitted (its entities differ)")

    def save(self, folder: str | Path) -> None:
        """Writes embeddings, weights and alignment (:obj:`aligner.pt`) and :obj:`result.json`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.embeddings  # noqa: B018  # raises if there is nothing to save
        with atomic_write(folder / _STATE, "wb") as file:
            torch.save(self._state, file)
        with atomic_write(folder / _RESULT, "w") as file:
            json.dump(self.result, file, indent=2)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Loads what :meth:`save` wrote, for :meth:`evaluate` and :meth:`predict`.

        Raises:
            FileNotFoundError: If the folder holds no finished run.
        """
        folder = Path(folder)
        if not (folder / _STATE).exists():
            raise FileNotFoundError(f"{folder / _STATE} is missing; 'pyg-mmea train' writes it")
        aligner = cls()
        aligner._state = torch.load(folder / _STATE, map_location="cpu", weights_only=True)
        aligner.calibrator.confidence.load_state_dict(aligner._state["confidence"])
        aligner.result = json.loads((folder / _RESULT).read_text(encoding="utf-8"))
        return aligner


def _fingerprint(data: HeteroData) -> str:
    """Identifies the entities of a pair and their order."""
    return fingerprint(*(data[side].uri for side in SIDES))


def _measure(module: AlignmentModule, links: Tensor) -> dict[str, Any]:
    out = module.embed()
    return evaluate_alignment(out["source"]["joint"], out["target"]["joint"], links)
