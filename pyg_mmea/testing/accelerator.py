"""A device that is not there, to find what is left on the CPU."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.optim import optimizer
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# Of the devices without a backend here, the one whose gradients need no thread of its own.
_DEVICE = torch.device("lazy")

_aten = torch.ops.aten
_MIXED = {  # take tensors on two devices
    _aten._to_copy.default,
    _aten.copy_.default,
    _aten._foreach_copy_.default,
}
_JOINS = {_aten.cat.default, _aten.stack.default}  # take no scalar of another device
_PUTS = {_aten.index_put.default, _aten.index_put_.default, _aten._index_put_impl_.default}
_FACTORIES = {
    torch.tensor,
    torch.as_tensor,
    torch.asarray,
    torch.sparse_coo_tensor,
    Tensor.new_tensor,
}


@contextmanager
def emulated_accelerator() -> Iterator[torch.device]:
    """Emulates an accelerator in this thread, on machines that have none: inside a :obj:`with`
    block, tensors and modules can be moved to the device that it gives.

    .. code-block:: python

        with emulated_accelerator() as device:
            encoder.to(device)(x.to(device), edge_index.to(device)).sum().backward()

    The CPU computes, but as with a GPU it is an error if an operation gets tensors on two devices
    (but scalars that it only reads, and indices on the CPU), or if NumPy gets a tensor that was not
    brought back by :meth:`~torch.Tensor.cpu`. Kernels of a GPU, its random numbers and
    :class:`torch.Generator`, autocast to half precision and asynchrony are not emulated, nor are
    gradients of sparse tensors and :mod:`torch.utils.checkpoint`. What asks for ``is_cuda`` gets
    the answer of a CPU. Blocks of two threads must not overlap.

    Yields:
        torch.device: The device.
    """
    autocast, known = torch.autocast.__init__, optimizer._get_fused_kernels_supported_devices

    def autocast_or_not(self: torch.autocast, device_type: str, *args: Any, **kwargs: Any) -> None:
        if device_type == _DEVICE.type:
            autocast(self, "cpu", enabled=False)
        else:
            autocast(self, device_type, *args, **kwargs)

    def known_and_this() -> list[str]:
        return [*known(), _DEVICE.type]

    with (
        mock.patch.object(torch.autocast, "__init__", autocast_or_not),
        mock.patch.object(optimizer, "_get_fused_kernels_supported_devices", known_and_this),
        _Factories(),
        _Operations(),
    ):
        yield _DEVICE


class _Remote(Tensor):
    """A tensor that says it is on the device, and has its values on the CPU."""

    values_here: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> "_Remote":
        kwargs: dict[str, Any] = {"dtype": values.dtype, "device": _DEVICE}
        if values.layout == torch.strided:  # a wrapper of no other layout can be made
            kwargs |= {"strides": values.stride(), "storage_offset": values.storage_offset()}
        return Tensor._make_wrapper_subclass(cls, values.size(), **kwargs)

    def __init__(self, values: Tensor) -> None:
        self.values_here = values

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _run(func, args, dict(kwargs or {}))

    # What PyTorch answers without asking the dispatcher.

    def tolist(self) -> Any:
        return self.values_here.tolist()

    def new_tensor(  # type: ignore[override]
        self, data: Any, *, device: Any = None, requires_grad: bool = False, **kwargs: Any
    ) -> Tensor:
        out = self.values_here.new_tensor(data, **kwargs).to(device or _DEVICE)
        return out.requires_grad_(requires_grad)

    def numpy(self, *, force: bool = False) -> np.ndarray:
        if not force:
            raise TypeError(f"a tensor on '{_DEVICE}' is no array; 'cpu' brings it back")
        return self.values_here.numpy()

    @property
    def data(self) -> Tensor:
        return super().data

    @data.setter
    def data(self, other: Tensor) -> None:
        Tensor.data.__set__(self, other)  # type: ignore[attr-defined]
        self.values_here = _here(other)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.values_here.__reduce_ex__(protocol)

    def __format__(self, format_spec: str) -> str:
        return format(self.values_here, format_spec)

    def __repr__(self, **kwargs: Any) -> str:  # type: ignore[override]
        return f"{self.values_here!r} on '{_DEVICE}'"

    # Of sparse ones, whose wrapper is a dense one.

    @property
    def layout(self) -> torch.layout:  # type: ignore[override]
        return self.values_here.layout

    @property
    def is_sparse(self) -> bool:  # type: ignore[override]
        return self.values_here.is_sparse

    @property
    def is_sparse_csr(self) -> bool:  # type: ignore[override]
        return self.values_here.is_sparse_csr

    def coalesce(self) -> Tensor:
        return _Remote(self.values_here.coalesce())

    def to_sparse_csr(self, *args: Any) -> Tensor:
        return _Remote(self.values_here.to_sparse_csr(*args))

    def crow_indices(self) -> Tensor:
        return _Remote(self.values_here.crow_indices())

    def col_indices(self) -> Tensor:
        return _Remote(self.values_here.col_indices())

    def values(self) -> Tensor:
        return _Remote(self.values_here.values())


class _Operations(TorchDispatchMode):
    """Sees operations without a tensor on the device, too, such as those that make one."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _run(func, args, dict(kwargs or {}))


class _Factories(TorchFunctionMode):
    """Makes tensors of Python's numbers, which no dispatcher sees, on the CPU first."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        rest = dict(kwargs or {})
        if func not in _FACTORIES:
            return func(*args, **rest)
        device, grad = rest.pop("device", None), rest.pop("requires_grad", False)
        out = func(*args, **rest)
        out = out if device is None else out.to(device)
        return out.requires_grad_() if grad else out  # a leaf


def _run(func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
    tensors = list(_tensors((*args, *kwargs.values())))
    written, returned = _aliases(func)
    given = dict(zip(written, args, strict=False)) | kwargs
    places = {alias: given[name] for name, alias in written.items() if alias and name in given}
    to = kwargs.get("device")
    is_remote = any(isinstance(x, _Remote) for x in tensors)
    if is_remote and func not in _MIXED:
        _check_devices(func, args, tensors, list(_tensors(places.values())))
    if to is not None:
        is_remote = torch.device(to).type == _DEVICE.type
        kwargs["device"] = torch.device("cpu") if is_remote else to
    if func is _aten._to_copy.default:
        kwargs.pop("layout", None)  # that of the wrapper
    out = func(*map(_here, args), **{name: _here(x) for name, x in kwargs.items()})
    for x in _tensors(places.values()):
        if isinstance(x, _Remote) and _form(x) != _form(x.values_here):
            x.data = _Remote(x.values_here)
    # What an operation writes to and returns is the argument that was given.
    outs = tuple(places[alias] for alias in returned if alias in places)
    if outs:
        return outs[0] if len(outs) == 1 else outs
    return _there(out) if is_remote else out


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for x in values:
        if isinstance(x, Tensor):
            yield x
        elif isinstance(x, list | tuple):
            yield from _tensors(x)


def _here(x: Any) -> Any:
    if isinstance(x, list | tuple):
        return type(x)(map(_here, x))
    return x.values_here if isinstance(x, _Remote) else x


def _there(x: Any) -> Any:
    if isinstance(x, list | tuple):
        return type(x)(map(_there, x))
    return _Remote(x) if isinstance(x, Tensor) else x


def _form(x: Tensor) -> tuple[torch.Size, tuple[int, ...]]:
    return x.shape, x.stride() if x.layout == torch.strided else ()


def _check_devices(func: Any, args: tuple, tensors: list[Tensor], written: list[Tensor]) -> None:
    if func is _aten.index.Tensor and isinstance(args[0], _Remote):
        return  # indices may be on the CPU
    if func in _PUTS and isinstance(args[0], _Remote):
        tensors = [args[0], args[2]]
    strict = tensors if func in _JOINS else [*written, *(x for x in tensors if x.dim() > 0)]
    if not all(isinstance(x, _Remote) for x in strict):
        sizes = [f"{list(x.shape)} on '{x.device}'" for x in tensors]
        raise RuntimeError(f"'{func}' needs its tensors on one device (got {', '.join(sizes)})")


@cache
def _aliases(func: Any) -> tuple[dict[str, str], list[str]]:
    """Returns the alias set that each argument is written through, empty where none is, and those
    of what is returned."""
    infos = {argument.name: argument.alias_info for argument in func._schema.arguments}
    written = {
        name: "".join(info.before_set) if info is not None and info.is_write else ""
        for name, info in infos.items()
    }
    results = [result.alias_info for result in func._schema.returns]
    return written, ["".join(info.before_set) for info in results if info is not None]
