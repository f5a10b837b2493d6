"""Makes ``python -m pyg_mmea`` the same as ``pyg-mmea``."""

import sys

from pyg_mmea.cli import main

sys.exit(main())
