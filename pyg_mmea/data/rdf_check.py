"""What an RDF file may not do: read other files, ask other machines, or grow without end."""

from pathlib import Path
from typing import Any
from xml.parsers import expat

from pyg_mmea.data.textfile import read_json
from pyg_mmea.errors import DataError
from pyg_mmea.utils.io import open_ordinary

_MAX_ENTITY = 1000  # letters; namespaces, which are what entities stand for, are shorter


def check_rdf(path: Path, form: str) -> None:
    """Looks for what only some formats of RDF can do, before the file is parsed.

    Args:
        path (Path): The file.
        form (str): Its format, by the name that rdflib has for it.

    Raises:
        DataError: If the file does it.
    """
    if form in ("xml", "trix"):
        _check_entities(path)
    elif form == "json-ld":
        _check_contexts(path)


def _check_entities(path: Path) -> None:
    """Entities of XML may stand for short texts, and for nothing else."""

    def declare(name: str, is_parameter: int, value: str | None, *rest: Any) -> None:
        if is_parameter or value is None or "&" in value or len(value) > _MAX_ENTITY:
            rule = f"entity '{name}' stands for another file, for entities or for a long text"
            raise DataError(rule, path)

    parser = expat.ParserCreate()
    parser.EntityDeclHandler = declare
    try:
        with open_ordinary(path) as file:
            parser.ParseFile(file)
    except expat.ExpatError as error:
        raise DataError(f"is no XML ({error})", path) from error


def _check_contexts(path: Path) -> None:
    """Contexts of JSON-LD stand in the file itself; those elsewhere would be fetched."""
    todo = [read_json(path)]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo += value
        elif isinstance(value, dict):
            context = value.get("@context")
            given = context if isinstance(context, list) else [context]
            if any(isinstance(each, str) for each in given) or "@import" in value:
                raise DataError("its context is elsewhere, and nothing is fetched", path)
            todo += value.values()
