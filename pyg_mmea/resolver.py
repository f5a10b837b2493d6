"""Turns a name, a class path or an object into an object."""

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

PLUGIN_GROUP = "pyg_mmea.plugins"


def _normalize(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _import_class(path: str) -> Any:
    module_name, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"Cannot import '{path}': {error}") from error


def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=PLUGIN_GROUP)}


def _find(query: str, choices: Mapping[str, Callable[..., Any]], base: type) -> Any:
    if "." in query:
        return _import_class(query)
    wanted = _normalize(query)
    for name, choice in choices.items():
        if _normalize(name) == wanted:
            return choice
    plugins = _plugins()
    for name, point in plugins.items():
        if _normalize(name) == wanted:
            return point.load()
    known = sorted({*choices, *plugins})
    raise ValueError(f"Unknown {base.__name__} '{query}' (choices: {', '.join(known)})")


def resolve(
    query: Any,
    choices: Mapping[str, Callable[..., Any]] | Iterable[type],
    base: type,
    **kwargs: Any,
) -> Any:
    """Returns the object that :obj:`query` stands for.

    Args:
        query: An instance of :obj:`base`, which is returned as it is; a subclass of it; a class
            path such as :obj:`"package.module.Class"`; or a name, matched with the choices and
            then with the entry points of the group :obj:`pyg_mmea.plugins`, ignoring case,
            underscores and dashes.
        choices (Mapping[str, Callable] or Iterable[type]): What a name can stand for. Classes in
            a plain iterable go by their own name.
        base (type): What the result needs to be an instance of.
        **kwargs: Arguments of the constructor.

    Returns:
        An instance of :obj:`base`.

    Raises:
        ValueError: If nothing matches, if the result is no :obj:`base`, or if an object comes
            together with arguments that could only be dropped.
    """
    if isinstance(query, base) and not isinstance(query, (str, type)):
        if kwargs:
            names = ", ".join(sorted(kwargs))
            raise ValueError(
                f"Arguments cannot be given together with a {type(query).__name__} object "
                f"(got {names})"
            )
        return query
    if isinstance(query, str):
        if not isinstance(choices, Mapping):
            choices = {choice.__name__: choice for choice in choices}
        factory = _find(query, choices, base)
    else:
        factory = query
    if isinstance(factory, type) and not issubclass(factory, base):
        raise ValueError(f"'{factory.__name__}' is no {base.__name__}")
    if not callable(factory):
        raise ValueError(f"Expected a name, a class or a {base.__name__} object (got {query!r})")
    result = factory(**kwargs)
    if not isinstance(result, base):
        raise ValueError(f"{query!r} made a {type(result).__name__}, not a {base.__name__}")
    return result
