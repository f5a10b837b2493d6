"""Checks for encoders, losses and models of one's own, each of which raises an
:class:`AssertionError` that says what is broken, and a device for machines that have no GPU.

.. code-block:: python

    from pyg_mmea.testing import check_structure_encoder

    def test_my_encoder():
        check_structure_encoder(MyEncoder(16), channels=16)
"""

from pyg_mmea.testing.accelerator import emulated_accelerator
from pyg_mmea.testing.checks import (
    LargestTensor,
    check_loss,
    check_model,
    check_structure_encoder,
)

__all__ = [
    "LargestTensor",
    "check_loss",
    "check_model",
    "check_structure_encoder",
    "emulated_accelerator",
]
