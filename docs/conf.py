"""Settings of Sphinx. The pages of the reference follow from ``__all__`` of each subpackage;
modules beside them that users import have one, too."""

import importlib
import inspect
import pkgutil
from pathlib import Path

import pyg_mmea

project = "pyg_mmea"
author = "The pyg_mmea maintainers"
release = version = pyg_mmea.__version__
extensions = [
    *("sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"),
    "myst_parser",  # SECURITY.md is a page, too
]
html_theme = "sphinx_rtd_theme"  # what that of PyTorch Geometric is made of
html_theme_options = {"collapse_navigation": False, "navigation_depth": 2}
exclude_patterns = ["_build"]
autodoc_typehints = "none"  # the docstrings say it
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_custom_sections = [("Shapes", "notes_style")]
napoleon_use_rtype = False
MODULES = ("errors", "typing")
# References to the members that PyTorch's classes bring along are not ours.
autodoc_inherit_docstrings = False


def _page(package: str) -> str:
    module = importlib.import_module(f"pyg_mmea.{package}")
    title = f"pyg_mmea.{package}"
    heading = [title, "=" * len(title), ""]
    if package in MODULES:
        return "\n".join([*heading, f".. automodule:: {title}", ""])
    lines = [*heading, f".. py:module:: {title}", "", (module.__doc__ or "").strip(), ""]
    for name in module.__all__:
        value = getattr(module, name)
        kind = "function" if inspect.isfunction(value) else "data"
        kind = "class" if inspect.isclass(value) else kind
        lines.append(f".. auto{kind}:: pyg_mmea.{package}.{name}")
        if hasattr(value, "_fields"):  # of a named tuple; its docstring describes them
            lines.append(f"   :exclude-members: {', '.join(value._fields)}")
        lines.append("")
    return "\n".join(lines)


def _write_pages(app: object) -> None:
    folder = Path(__file__).parent / "api"
    folder.mkdir(exist_ok=True)
    packages = [module.name for module in pkgutil.iter_modules(pyg_mmea.__path__) if module.ispkg]
    for package in [*packages, *MODULES]:
        path, page = folder / f"{package}.rst", _page(package)
        if not path.exists() or path.read_text(encoding="utf-8") != page:
            path.write_text(page, encoding="utf-8")


def setup(app) -> None:
    """Writes the pages before Sphinx looks for them."""
    app.connect("builder-inited", _write_pages)
