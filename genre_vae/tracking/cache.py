"""Finished work is found again by a fingerprint of all that decides it, and nothing else.

The code that counts is read from the sources: the stage's function, the helpers and constants of
its own module that it names, every module of this project that these name, and what those modules
import, wherever in them the import stands. So nothing has to be declared, and nothing can be
forgotten. What does not count: type annotations, this package (it records results and does not make
them), and the modules that a stage says it only draws with.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import hashlib
import inspect
import json
import symtable
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from genre_vae.files import write_json
from genre_vae.tracking.store import PACKAGE, version_of

MANIFEST = "manifest.json"
COMPUTES = {  # modules whose version can change a result, and the distributions that they are in
    "av": "av",
    "librosa": "librosa",
    "numpy": "numpy",
    "scipy": "scipy",
    "sentence_transformers": "sentence-transformers",
    "sklearn": "scikit-learn",
    "soundfile": "soundfile",
    "soxr": "soxr",
    "torch": "torch",
    "umap": "umap-learn",
}
UNCOUNTED = ("genre_vae.tracking",)
ROOT = PACKAGE.parent  # where this project's packages lie


class Code(NamedTuple):
    """The code behind a stage: its own `parts`, the `modules` that they need, and the `libraries`
    that any of them import."""

    parts: tuple[str, ...]
    modules: tuple[str, ...]
    libraries: tuple[str, ...]


def fingerprint(
    name: str, config: object, inputs: Iterable[object], code: Code, *, root: Path = ROOT
) -> str:
    """A hash of what decides a stage's result.

    Parameters
    ----------
    name
        The stage's.
    config
        Plain values, frozen dataclasses of them, and tuples and mappings of either.
    inputs
        Each a fingerprint, None, or a list of these.
    code
        From `code_of`.
    root
        The folder of the packages that `code` is in.
    """
    parts = {
        "stage": name,
        "config": plain(config),
        "inputs": list(inputs),
        "code": [*code.parts, *(_content(root, module) for module in code.modules)],
        "versions": {library: version_of(COMPUTES[library]) for library in code.libraries},
    }
    return digest(json.dumps(parts, sort_keys=True))


def digest(text: str) -> str:
    """A short hash of a text."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def plain(value: object) -> Any:
    """A config as JSON has it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, enum.Enum):
        return value.name.lower()
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def flat(value: object) -> dict[str, object]:
    """A config as params: the fields of nested configs beside the others."""
    found: dict[str, object] = {}
    for name, one in plain(value).items():
        found |= one if isinstance(one, dict) else {name: one}
    return found


@cache
def code_of(
    function: Callable[..., object], *, without: tuple[str, ...] = (), root: Path = ROOT
) -> Code:
    """The code that decides what a function returns (see the module's docstring).

    Parameters
    ----------
    function
        A function at the top level of a module.
    without
        Packages and modules that do not count.
    root
        The folder of this project's packages.
    """
    module = inspect.getmodule(function)
    assert module is not None, "a stage is defined in a module"
    source = inspect.getsource(module)
    own = _Module(source, root)
    parts, imported = own.reached(function.__name__)
    uncounted = (*UNCOUNTED, *without)
    modules, libraries = _closure(root, imported, uncounted)
    return Code(tuple(parts), tuple(modules), tuple(libraries))


def module_digest(name: str, *, root: Path = ROOT) -> str:
    """A hash of a module, by its dotted name, and of all that it imports of this project."""
    modules, _ = _closure(root, [name], UNCOUNTED)
    return digest("\n".join(_content(root, one) for one in modules))


def third_party(name: str, *, root: Path = ROOT) -> set[str]:
    """The packages, other than this one, that a module and all it needs of this project import."""
    modules, _ = _closure(root, [name], UNCOUNTED)
    found = {one.partition(".")[0] for module in modules for one in _imports_of(root, module)}
    return found - {PACKAGE.name}


def _closure(
    root: Path, names: Iterable[str], uncounted: tuple[str, ...]
) -> tuple[list[str], list[str]]:
    """The project's modules among dotted names and all that those import; and the libraries."""
    found: set[str] = set()
    libraries: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        library = name.partition(".")[0]
        if library in COMPUTES:
            libraries.add(library)
        if name in found or any(f"{name}.".startswith(f"{one}.") for one in uncounted):
            continue
        if _file(root, name) is not None:
            found.add(name)
            waiting += _imports_of(root, name)
    return sorted(found), sorted(libraries)


def _file(root: Path, name: str) -> Path | None:
    """The file of a module of this project; None for anything else, a package too."""
    path = root.joinpath(*name.split(".")).with_suffix(".py")
    return path if path.is_file() else None


@cache
def _parsed(path: Path) -> tuple[str, ast.Module]:
    source = path.read_text("utf-8")
    return source, ast.parse(source)


@cache
def _imports_of(root: Path, name: str) -> frozenset[str]:
    path = _file(root, name)
    assert path is not None
    return frozenset(imports(_parsed(path)[1]))


@cache
def _content(root: Path, name: str) -> str:
    """A module's source, and the content of the data files beside it that it names."""
    path = _file(root, name)
    assert path is not None
    source, tree = _parsed(path)
    named = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value
    }
    beside = sorted(one for one in path.parent.iterdir() if one.name in named and one != path)
    return source + "".join(one.read_text("utf-8") for one in beside)


CACHES = (_parsed, _imports_of, _content)  # of sources, which do not change while a run is open


def imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names of all that a tree imports, in functions too, but for type checking only."""
    for node in _without_type_checking(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _without_type_checking(tree: ast.AST) -> Iterator[ast.AST]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


class _Module:
    """The top level of a module: what it defines, and where what it imports comes from."""

    def __init__(self, source: str, root: Path) -> None:
        tree = ast.parse(source)
        self.source = source
        scopes = symtable.symtable(source, "stage", "exec").get_children()
        self.scopes = {scope.get_name(): scope for scope in scopes}
        self.defined: dict[str, ast.stmt] = {}
        self.imported: dict[str, list[str]] = {}
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                self.defined[node.name] = node
            elif isinstance(node, ast.Assign):
                for target in ast.walk(node):
                    if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store):
                        self.defined[target.id] = node
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                self.defined[node.target.id] = node
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    self.imported[alias.asname or alias.name.partition(".")[0]] = [alias.name]
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    both = [node.module, f"{node.module}.{alias.name}"]
                    self.imported[alias.asname or alias.name] = both

    def reached(self, name: str) -> tuple[list[str], set[str]]:
        """The sources of a definition and of the others here that it needs; and the dotted names
        of all that these need from elsewhere."""
        seen: dict[str, str] = {}
        imported: set[str] = set()
        waiting = [name]
        while waiting:
            one = waiting.pop()
            if one in seen:
                continue
            node = self.defined[one]
            segment = ast.get_source_segment(self.source, node)
            seen[one] = textwrap.dedent(segment or "")
            for inner in _computing(node):
                imported |= set(imports(inner))
            for used in self._used(one):
                if used in self.defined:
                    waiting.append(used)
                else:
                    imported |= set(self.imported.get(used, []))
        return [seen[one] for one in sorted(seen)], imported

    def _used(self, name: str) -> set[str]:
        """The names of the module that a definition uses: no local ones, and no annotations."""
        node = self.defined[name]
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)} - {name}
        outside = node.bases if isinstance(node, ast.ClassDef) else node.args.defaults
        found = {one.id for part in outside for one in ast.walk(part) if isinstance(one, ast.Name)}
        waiting = [self.scopes[name]]
        while waiting:
            scope = waiting.pop()
            waiting += scope.get_children()
            found |= {
                symbol.get_name()
                for symbol in scope.get_symbols()
                if symbol.is_referenced() and symbol.is_global()
            }
        return found


def _computing(node: ast.stmt) -> list[ast.stmt]:
    """The statements in which a definition may import something."""
    return node.body if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else []


def write_manifest(folder: Path) -> None:
    """List the files of a finished stage with their sizes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
    write_json(folder / MANIFEST, sizes)


def is_whole(folder: Path) -> bool:
    """Whether a folder has every file that its manifest lists, each in its size."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    if not isinstance(manifest, dict):
        return False
    files = {folder / name: size for name, size in manifest.items()}
    return all(file.is_file() and file.stat().st_size == size for file, size in files.items())
