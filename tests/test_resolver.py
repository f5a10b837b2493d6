from importlib.metadata import EntryPoint

import pytest
import torch

from pyg_mmea import resolver
from pyg_mmea.resolver import resolve

CHOICES = {"linear": torch.nn.Linear, "leaky_relu": torch.nn.LeakyReLU}
ARGS = {"in_features": 2, "out_features": 3}


@pytest.mark.parametrize("query", ["linear", "LINEAR", "torch.nn.Linear", torch.nn.Linear], ids=str)
def test_resolve_builds(query: object) -> None:
    assert resolve(query, CHOICES, torch.nn.Module, **ARGS).out_features == 3


@pytest.mark.parametrize("query", ["LeakyReLU", "leaky-relu"])
def test_resolve_ignores_case_and_dashes(query: str) -> None:
    for choices in (CHOICES, [torch.nn.Linear, torch.nn.LeakyReLU]):
        assert isinstance(resolve(query, choices, torch.nn.Module), torch.nn.LeakyReLU)


def test_resolve_passes_objects_through() -> None:
    module = torch.nn.ReLU()
    assert resolve(module, CHOICES, torch.nn.Module) is module
    with pytest.raises(ValueError, match=r"cannot be given together with a ReLU object.*inplace"):
        resolve(module, CHOICES, torch.nn.Module, inplace=True)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("conv", r"Unknown Module 'conv' \(choices: leaky_relu, linear\)"),
        ("torch.nn.Nope", "Cannot import"),
        ("no_such_package.Thing", "Cannot import"),
        (dict, "'dict' is no Module"),
        ("collections.OrderedDict", "'OrderedDict' is no Module"),
        ("torch.zeros", "Tensor, not a Module"),
        (3, "Expected a name"),
    ],
    ids=str,
)
def test_resolve_misses(query: object, message: str) -> None:
    kwargs = {"size": (1,)} if query == "torch.zeros" else {}
    with pytest.raises(ValueError, match=message):
        resolve(query, CHOICES, torch.nn.Module, **kwargs)


def test_resolve_finds_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("soft-sign", "torch.nn:Softsign", resolver.PLUGIN_GROUP)
    monkeypatch.setattr(resolver, "entry_points", lambda group: [point])
    assert isinstance(resolve("SoftSign", CHOICES, torch.nn.Module), torch.nn.Softsign)
    with pytest.raises(ValueError, match="soft-sign"):
        resolve("conv", CHOICES, torch.nn.Module)
