"""Reads a ``pair.yaml`` and names the line of what does not fit."""

import dataclasses
from pathlib import Path
from typing import Any, get_args, get_origin

import pandas as pd
import yaml

from pyg_mmea.data.findings import Findings
from pyg_mmea.data.pairspec import ColumnSpec, LinkSpec, PairFile, SideSpec
from pyg_mmea.data.units import find_unit
from pyg_mmea.data.values import ISO
from pyg_mmea.errors import DataError
from pyg_mmea.typing import SIDES
from pyg_mmea.utils.io import open_ordinary

# What beside the role may be said of a column.
_OPTIONS: dict[str, tuple[str, ...]] = {
    "id": (),
    "name": (),
    "image": ("folder",),
    "text": ("as",),
    "number": ("as", "unit", "decimal", "scale"),
    "date": ("as", "format", "scale"),
    "category": ("as", "to", "separator"),
    "reference": ("as", "to", "separator"),
    "attribute": ("as",),
    "ignore": (),
}


def _empty(kind: Any) -> Any:
    """What stands in for a missing value, so that reading can go on to the next problem."""
    return {str: "", SideSpec: SideSpec(), LinkSpec: LinkSpec()}.get(kind, {})


def _is_date_format(text: str) -> bool:
    try:
        pd.to_datetime(pd.Series(["x"]), format=text, errors="coerce")
    except ValueError:
        return False
    return text == ISO or "%" in text


class _Reader:
    """Turns nodes of YAML into the classes above and names the line of what does not fit."""

    def __init__(self, path: Path, findings: Findings) -> None:
        self.path = path
        self.findings = findings

    def error(self, text: str, node: yaml.Node) -> None:
        self.findings.error("pair.yaml", text, self.path, node.start_mark.line + 1)

    def mapping(self, node: yaml.Node, where: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        if not isinstance(node, yaml.MappingNode):
            self.error(f"'{where}' needs keys with values", node)
            return {}
        out: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.error(f"a key of '{where}' needs to be a text", key)
            elif key.value in out:  # YAML would silently take the last
                self.error(f"'{where}.{key.value}' is there twice", key)
            else:
                out[key.value] = (key, value)
        return out

    def text(self, node: yaml.Node, where: str) -> str:
        if isinstance(node, yaml.ScalarNode):
            return "" if node.tag == "tag:yaml.org,2002:null" else node.value
        self.error(f"'{where}' needs to be a text", node)
        return ""

    def build(self, cls: type[Any], node: yaml.Node, where: str = "") -> Any:
        """Fills a dataclass; unknown and missing keys are named."""
        kinds = {each.name: each for each in dataclasses.fields(cls) if each.name != "path"}
        given = self.mapping(node, where or "the file")
        values: dict[str, Any] = {}
        for name, (key, value) in given.items():
            place = f"{where}.{name}" if where else name
            if name not in kinds:
                known = ", ".join(kinds)
                self.error(f"'{place}' is no known key (known: {known})", key)
                continue
            values[name] = self._value(kinds[name].type, value, place)
        for name, each in kinds.items():
            missing = each.default is each.default_factory
            if missing and name not in given:
                self.error(f"'{where}.{name}' is missing".replace("'.", "'"), node)
                values[name] = _empty(each.type)
        return cls(**values)

    def _value(self, kind: Any, node: yaml.Node, where: str) -> Any:
        if kind is str:
            text = self.text(node, where)
            if where.endswith(".delimiter") and len(text) != 1:
                self.error(f"'{where}' needs to be one character (got '{text}')", node)
            return text
        if get_origin(kind) is list:
            if not isinstance(node, yaml.SequenceNode):
                self.error(f"'{where}' needs to be a list", node)
                return []
            inner = get_args(kind)[0]
            return [self.build(inner, item, f"{where}[{i}]") for i, item in enumerate(node.value)]
        if get_origin(kind) is dict:
            return self.columns(node, where)
        return self.build(kind, node, where)

    def columns(self, node: yaml.Node, where: str) -> dict[str, ColumnSpec]:
        items = self.mapping(node, where).items()
        return {name: self._column(name, value, f"{where}.{name}") for name, (_, value) in items}

    def _column(self, name: str, node: yaml.Node, where: str) -> ColumnSpec:
        """:obj:`price: number`, or :obj:`price: {role: number, unit: EUR}`."""
        line = node.start_mark.line + 1
        given: dict[str, str] = {}
        if isinstance(node, yaml.ScalarNode):
            role = self.text(node, where)
        else:
            items = self.mapping(node, where)
            given = {key: self.text(value, f"{where}.{key}") for key, (_, value) in items.items()}
            role = given.pop("role", "")
        if role not in _OPTIONS:
            known = ", ".join(_OPTIONS)
            self.error(f"'{where}' needs a role, one of {known} (got '{role}')", node)
            return ColumnSpec("ignore", name, line=line)
        for key in list(given):
            if key not in _OPTIONS[role]:
                known = ", ".join(["role", *_OPTIONS[role]])
                self.error(f"'{where}.{key}' is no known key of a {role} (known: {known})", node)
                del given[key]
        for key, allowed in (("decimal", (".", ",")), ("scale", ("joint", "each"))):
            if given.get(key, allowed[0]) not in allowed:
                choice = " or ".join(f"'{value}'" for value in allowed)
                self.error(f"'{where}.{key}' needs to be {choice} (got '{given[key]}')", node)
                del given[key]
        if "format" in given and not _is_date_format(given["format"]):
            text = "needs to be ISO8601 or like %d.%m.%Y"
            self.error(f"'{where}.format' {text} (got '{given.pop('format')}')", node)
        if given.get("unit") and find_unit(given["unit"]) is None:
            self.error(f"'{where}.unit' is an unknown unit (got '{given.pop('unit')}')", node)
        return ColumnSpec(role, given.pop("as", "") or name, line=line, **given)  # type: ignore[arg-type]


def read_pair_file(path: Path, findings: Findings) -> PairFile | None:
    """Reads and checks a ``pair.yaml``, without the files it names.

    Args:
        path (Path): The file.
        findings (Findings): Takes what is wrong, with file, line and key.

    Returns:
        PairFile: What it says, or :obj:`None` if it says too little to go on.

    Raises:
        DataError: If something is wrong and :obj:`findings` are strict.
    """
    try:
        with open_ordinary(path) as file:
            root = yaml.compose(file.read().decode("utf-8"), Loader=yaml.SafeLoader)
    except FileNotFoundError:
        findings.error("pair.yaml", "file is missing; 'pyg-mmea init' writes one", path)
        return None
    except (OSError, UnicodeDecodeError) as error:
        findings.error("pair.yaml", f"cannot be read ({error})", path)
        return None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        text = f"is no YAML ({getattr(error, 'problem', None) or error})"
        findings.error("pair.yaml", text, path, None if mark is None else mark.line + 1)
        return None
    except RecursionError:
        findings.error("pair.yaml", "is nested too deeply", path)
        return None
    if root is None:
        findings.error("pair.yaml", "is empty", path)
        return None
    before = findings.num_errors
    pair = _Reader(path, findings).build(PairFile, root)
    if findings.num_errors > before:
        return None
    pair = dataclasses.replace(pair, path=path)
    for problem in _contradictions(pair):
        findings.add("error", "pair.yaml", problem)
    return pair if findings.num_errors == before else None


def _contradictions(pair: PairFile) -> list[DataError]:
    """What single keys cannot tell."""
    out: list[DataError] = []

    def wrong(text: str, line: int | None = None) -> None:
        out.append(DataError(text, pair.path, line))

    for name in SIDES:
        side: SideSpec = getattr(pair, name)
        sources = [bool(side.tables or side.triples or side.attributes), side.rdf, side.folder]
        if sum(map(bool, sources)) != 1:
            wrong(f"'{name}' needs one of tables (tables, triples, attributes), rdf and folder")
        titles = [table.title for table in side.tables]
        for title in {title for title in titles if titles.count(title) > 1}:
            wrong(f"'{name}.tables': two are called '{title}'; 'name' tells them apart")
        for spec in side.columns.values():
            if spec.role == "id":
                wrong(f"'{name}.columns': an attribute cannot be the id", spec.line)
        for table in side.tables:
            roles = [spec.role for spec in table.columns.values()]
            if roles.count("id") != 1:
                text = f"table '{table.title}' needs one column with the role 'id'"
                wrong(f"'{name}.tables': {text} (got {roles.count('id')})")
            for role in ("name", "image"):
                if roles.count(role) > 1:
                    wrong(f"'{name}.tables': table '{table.title}' has two columns of role {role}")
            for spec in table.columns.values():
                known = spec.to in titles or (not spec.to and len(titles) == 1)
                if spec.role == "reference" and not known:
                    text = f"'to' needs to name a table, one of {', '.join(titles)}"
                    wrong(f"{text} (got '{spec.to}')", spec.line)
    if pair.links.file and pair.links.folder:
        wrong("'links' needs either 'file' or 'folder', not both")
    kinds = [_kinds(pair.source), _kinds(pair.target)]
    for common in kinds[0].keys() & kinds[1].keys():
        (first, _), (second, line) = kinds[0][common], kinds[1][common]
        if first != second and {first, second} & {"number", "date", "text"}:
            wrong(f"'{common}' is a {second} here and a {first} in the source", line)
    return out


def _kinds(side: SideSpec) -> dict[str, tuple[str, int]]:
    """Role and line of each common name."""
    columns = [spec for table in side.tables for spec in table.columns.values()]
    return {spec.name: (spec.role, spec.line) for spec in [*columns, *side.columns.values()]}
