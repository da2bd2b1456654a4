"""The project's files: what is printed is what lies there, and one list of requirements."""

from __future__ import annotations

import re
import sys
import tomllib
from typing import Any

import yaml

from entrypoints import cli
from genre_vae import levels, options
from genre_vae.collection import download
from genre_vae.collection import lyrics as songs
from genre_vae.features import text
from genre_vae.stages import register
from genre_vae.tracking import cache, registry
from tests.helpers import ROOT

PROJECT: dict[str, Any] = yaml.safe_load((ROOT / "MLproject").read_text("utf-8"))
WANTED: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "dependencies"
]


def test_mlproject_and_the_reference_are_as_printed() -> None:
    """Otherwise: make mlproject."""
    assert (ROOT / "MLproject").read_text("utf-8") == cli.mlproject()
    assert (ROOT / "docs/reference.md").read_text("utf-8") == cli.reference()


def test_every_script_is_an_entry_point_with_few_parameters() -> None:
    scripts = {path.stem for path in (ROOT / "entrypoints").glob("*.py")} - {"__init__", "cli"}
    assert set(PROJECT["entry_points"]) == scripts
    for name, entry in PROJECT["entry_points"].items():
        declared = entry["parameters"]
        assert 1 <= len(declared) <= 9, name
        assert all(f"{{{one}}}" in entry["command"] for one in declared), "none is lost"


def test_the_environment_is_the_packages() -> None:
    """One list of requirements: MLflow names its cached environment after conda.yaml's."""
    environment = yaml.safe_load((ROOT / PROJECT["conda_env"]).read_text("utf-8"))
    *requirements, package = environment["dependencies"][-1]["pip"]
    assert requirements == WANTED
    assert package == "-e ."
    assert environment["dependencies"][0] == "python=3.11"
    assert any(requirement.startswith("torch==") for requirement in WANTED)


def test_the_registered_model_asks_for_what_its_code_imports() -> None:
    """Followed from the module that MLflow loads, whatever is imported anywhere on the way."""
    third = cache.third_party(register.CODE) - set(sys.stdlib_module_names)
    names = {
        re.split(r"[<>=]", one)[0].replace("scikit-learn", "sklearn") for one in registry.SERVED
    }
    assert third == names
    assert set(registry.SERVED) <= set(WANTED)


def test_every_requirement_is_used() -> None:
    sources = "\n".join(
        path.read_text("utf-8")
        for folder in ("genre_vae", "entrypoints")
        for path in (ROOT / folder).rglob("*.py")
    )
    for name in (re.split(r"[<>=]", one)[0] for one in WANTED):
        module = {"scikit-learn": "sklearn"}.get(name, name)
        use = {"pyarrow": r"pd\.read_parquet"}.get(name, rf"^\s*(import|from) {module}\b")
        assert re.search(use, sources, re.MULTILINE), name


def test_choices_are_what_the_package_knows() -> None:
    """Spelled out in the options, so that --help need not import the package."""
    known = {
        "lyrics_match": songs.MATCHES,
        "lyrics_missing": text.MISSING,
        "level": tuple(levels.LEVELS),
        "dataset": tuple(download.DATASETS),
    }
    for name, values in known.items():
        assert options.options()[name].metadata["kind"].names == values, name


def test_the_levels_owners_and_fusions_are_methods() -> None:
    for level in levels.LEVELS.values():
        keys = [method.key for method in level.own]
        assert [*level.methods, *level.on_request] == keys
        assert set(level.beside) | set(level.figures) <= set(keys)
        assert len(set(keys)) == len(keys)


def test_the_hops_in_contributing_are_where_it_says() -> None:
    """``path:line`` and a name, which stands in that line."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    hops = re.findall(r"^\d\. `([^:`]+):(\d+)` `(\w+)`", text, re.MULTILINE)
    assert len(hops) == 8
    for path, line, name in hops:
        found = (ROOT / path).read_text("utf-8").splitlines()[int(line) - 1]
        assert re.search(rf"\b{name}\b", found), f"{path}:{line} is {found!r}, without {name}"
