"""The command line, ``pyg-mmea VERB``: parses, builds and prints."""

from pyg_mmea.cli.app import main

__all__ = ["main"]
