"""Finds the verb, and what each kind of failure ends in."""

import argparse
import logging
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

from pyg_mmea import __version__
from pyg_mmea.cli.console import HarmlessFormatter, note
from pyg_mmea.printable import printable
from pyg_mmea.utils.progress import show_progress

# Each verb is a module with a function 'run'. Only that of the verb in use is imported, since
# PyTorch takes seconds.
VERBS = {
    "demo": "generate two product graphs with pictures, align them, say how well it went",
    "init": "look into your own tables and write a pair.yaml that describes them",
    "datasets": "list datasets, show their statistics, prepare them, check files of your own",
    "train": "train a model on a pair of graphs and evaluate it",
    "evaluate": "measure a finished run",
    "align": "write the alignment of a finished run to a file",
    "distill": "train a small encoder of features after a finished run",
    "export": "write the encoder of a student for other programs, as .pt2 or .onnx",
    "report": "write a page on a finished run: metrics, curves, pairs with their pictures",
    "review": "go through uncertain pairs on a web page; accept or reject them",
    "audit": "say why a pseudo-label was taken or dropped; accept or reject pairs by hand",
}
DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
# What the library raises for what it was handed; the others are paths that lead nowhere.
_BAD = (ValueError, FileNotFoundError, IsADirectoryError, NotADirectoryError)
_LONGEST = 1000  # characters of a message, which may quote a file


def _parse(arguments: Sequence[str]) -> tuple[str, list[str], bool]:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name.ljust(width)}  {text}" for name, text in VERBS.items())
    parser = argparse.ArgumentParser(
        prog="pyg-mmea",
        usage="pyg-mmea [--help] [--version] [--debug] VERB ...",
        description="Multi-modal entity alignment on PyTorch Geometric.",
        epilog=f"verbs:\n{verbs}\n\n'pyg-mmea VERB --help' shows the options of a verb.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pyg-mmea {__version__}")
    parser.add_argument("--debug", action="store_true", help="show tracebacks; may stand anywhere")
    parser.add_argument("verb", choices=VERBS, metavar="VERB", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    if not arguments:
        parser.error("a verb is needed: " + ", ".join(VERBS))
    parsed = parser.parse_args(arguments)
    rest = [argument for argument in parsed.rest if argument != "--debug"]
    return parsed.verb, rest, parsed.debug or "--debug" in parsed.rest


def _hush() -> None:
    """Silences what other libraries say to developers. Ours log what a user should know."""
    warnings.showwarning = lambda *args, **kwargs: None
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a verb.

    Args:
        arguments (Sequence[str], optional): What stands behind :obj:`pyg-mmea`. By default that
            of the process. (default: :obj:`None`)

    Returns:
        int: Exit code: 0 done, 1 failed at run time, 2 bad input, 130 interrupted.

    Raises:
        SystemExit: With code 2 after bad usage, with code 0 after help.
    """
    verb, rest, debug = _parse(sys.argv[1:] if arguments is None else arguments)
    handler = logging.StreamHandler()
    handler.setFormatter(HarmlessFormatter("%(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    try:
        # Bars are for terminals, and verbs with --quiet can do without.
        shown = False if "--quiet" in rest else None
        with warnings.catch_warnings(), show_progress(shown):
            module = import_module(f"pyg_mmea.cli.{verb}")
            if not debug:
                _hush()  # after the import, at which Lightning sets its own level
            module.run(rest)
    except KeyboardInterrupt as error:
        note(f"pyg-mmea: interrupted{f'; {error}' if error.args else ''}")
        return INTERRUPTED
    except Exception as error:
        if debug:
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        note(f"pyg-mmea: error: {printable(text, _LONGEST)}")
        return BAD_INPUT if isinstance(error, _BAD) else FAILED
    return DONE
