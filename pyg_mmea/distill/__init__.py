"""Small inductive students of a finished run, and their export."""

from pyg_mmea.distill.encoder import EntityEncoder
from pyg_mmea.distill.export import export_student
from pyg_mmea.distill.inputs import InputSpec, entity_inputs
from pyg_mmea.distill.measure import compare, comparison_rows
from pyg_mmea.distill.student import Student
from pyg_mmea.distill.training import DistillConfig, distill

__all__ = [
    "DistillConfig",
    "EntityEncoder",
    "InputSpec",
    "Student",
    "compare",
    "comparison_rows",
    "distill",
    "entity_inputs",
    "export_student",
]
