"""``pyg-mmea review``."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser
from jsonargparse.typing import PositiveInt, restricted_number_type

from pyg_mmea.calibration import Ledger
from pyg_mmea.cli.console import echo, note
from pyg_mmea.cli.runs import is_training, load_inspector, when_used
from pyg_mmea.review import ReviewSession
from pyg_mmea.training import Decisions

Port = restricted_number_type("Port", int, [(">=", 1024), ("<=", 65535)])


def run(arguments: Sequence[str]) -> None:
    """Serves the page and sums up what was decided.

    Raises:
        ImportError: If the extra is not installed.
    """
    parser = ArgumentParser(
        prog="pyg-mmea review",
        description="Shows uncertain pairs on a web page of this machine, those first whose answer "
        "teaches most. What is accepted or rejected there goes into the ledger of the run, as with "
        "'pyg-mmea audit', and 'train --resume' uses it. The page works by keyboard alone; '?' on "
        "it names the keys. Ctrl-C ends the review.",
    )
    parser.add_argument("folder", metavar="RUN", help="folder of a finished run")
    parser.add_argument("--limit", type=PositiveInt, default=100, help="most pairs to go through")
    parser.add_argument("--port", type=Port | None, help="port of the page; by default a free one")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    config = parser.parse_args(arguments)
    from pyg_mmea.review.server import serve  # needs the extra, which --help does not

    folder = Path(config.folder)
    inspector = load_inspector(folder)
    decisions = Decisions(inspector.data, Ledger.of(folder))
    session = ReviewSession(inspector, decisions, config.limit)
    before = decisions.in_force()
    note(f"{len(session.queue)} of {inspector.pairs.size(1)} pairs to review; Ctrl-C ends")
    if is_training(folder):
        note(when_used(folder))
    serve(
        session,
        folder.resolve().name,
        lambda: when_used(folder),
        echo,
        config.port or 0,
        not config.no_browser,
    )
    now = decisions.in_force()
    new = Counter(entry["decision"] for pair, entry in now.items() if entry != before.get(pair))
    undone = sum(pair not in now for pair in before)
    note(
        f"{new['accept']} accepted, {new['reject']} rejected, {undone} earlier decisions undone: "
        f"{when_used(folder)}"
    )
