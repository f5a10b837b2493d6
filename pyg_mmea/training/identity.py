"""Whether a run that goes on is the one that was started."""

from collections.abc import Mapping
from typing import Any

# Of the settings, what may differ where a run goes on.
_CHANGES_NOTHING = ("accelerator", "checkpoint_every", "csls_k", "tensorboard", "test_links")


def check_same_run(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compares :obj:`"entities"` and :obj:`"given_links"`, by what identifies them, and the
    :obj:`"settings"` by name, of which a run may have more epochs.

    Args:
        before (dict): What a checkpoint says; one of an older version may lack some.
        now (dict): What the run has now.

    Raises:
        ValueError: If something differs.
    """
    if before.get("entities", now["entities"]) != now["entities"]:
        raise ValueError(
            "'data' needs to be the pair that the run was started with (its entities differ)"
        )
    if before.get("given_links", now["given_links"]) != now["given_links"]:
        raise ValueError(
            "'data' needs to have the training and validation links that the run was started "
            "with: a new split could test on links that were trained on. Train anew, or put the "
            "links back"
        )
    for name, old in before.get("settings", {}).items():
        new = now["settings"].get(name, old)
        longer = name == "epochs" and new >= old
        if new != old and not longer and name not in _CHANGES_NOTHING:
            raise ValueError(
                f"'{name}' needs to be {old!r}, as where the run was started (got {new!r})"
            )
