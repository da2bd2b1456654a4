"""MLproject, the command lines in it and the click options say the same."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

from genre_vae import tracking
from tests.helpers import ROOT

PROJECT: dict[str, Any] = yaml.safe_load((ROOT / "MLproject").read_text("utf-8"))
ENTRIES: dict[str, Any] = PROJECT["entry_points"]
SCRIPTS = {p.stem for p in (ROOT / "entrypoints").glob("*.py")} - {"__init__", "options"}


def command(name: str) -> click.Command:
    found: click.Command = importlib.import_module(f"entrypoints.{name}").main
    return found


def test_every_script_is_an_entry_point_and_the_other_way_round() -> None:
    assert set(ENTRIES) == SCRIPTS


@pytest.mark.parametrize("name", ENTRIES)
def test_parameters_placeholders_and_options_are_the_same(name: str) -> None:
    declared, line = ENTRIES[name]["parameters"], ENTRIES[name]["command"]
    passed = re.findall(r"--(\w+) \{(\w+)\}", line)
    assert line.startswith(f"python -m entrypoints.{name} ")
    assert all(option == placeholder for option, placeholder in passed)
    assert len(re.findall(r"\{", line)) == len(passed)
    options = [p for p in command(name).params if isinstance(p, click.Option)]
    assert list(declared) == [name for name, _ in passed] == [option.name for option in options]


@pytest.mark.parametrize("name", ENTRIES)
def test_defaults_are_the_same(name: str) -> None:
    declared = {key: value["default"] for key, value in ENTRIES[name]["parameters"].items()}
    assert declared == {option.name: str(option.default) for option in command(name).params}


@pytest.mark.parametrize("name", ENTRIES)
def test_parameters_are_strings_that_click_checks(name: str) -> None:
    for key, value in ENTRIES[name]["parameters"].items():
        assert value["type"] == "string", key
        assert isinstance(value["default"], str), key


@pytest.mark.parametrize("name", ENTRIES)
def test_help_explains_every_option(name: str, runner: CliRunner) -> None:
    result = runner.invoke(command(name), ["--help"])
    assert result.exit_code == 0
    assert command(name).help
    for option in command(name).params:
        assert isinstance(option, click.Option)
        assert f"--{option.name}" in result.output
        assert option.help


def test_an_option_means_the_same_everywhere() -> None:
    seen: dict[str, tuple[Any, ...]] = {}
    for name in ENTRIES:
        for option in command(name).params:
            assert isinstance(option, click.Option)
            about = (option.default, option.help, type(option.type))
            assert seen.setdefault(str(option.name), about) == about


def test_the_environment_is_the_packages() -> None:
    """One list of requirements: MLflow names its cached environment after conda.yaml's."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        wanted = tomllib.load(file)["project"]["dependencies"]
    environment = yaml.safe_load((ROOT / PROJECT["conda_env"]).read_text("utf-8"))
    *requirements, package = environment["dependencies"][-1]["pip"]
    assert requirements == wanted
    assert package == "-e ."
    assert environment["dependencies"][0] == "python=3.11"
    assert any(requirement.startswith("torch==") for requirement in wanted)


def test_the_registered_model_asks_for_what_its_code_imports() -> None:
    """Followed from pyfunc.py through the package, whatever is imported anywhere in it."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        wanted = tomllib.load(file)["project"]["dependencies"]
    assert set(tracking.SERVED) <= set(wanted)
    package, seen, roots = ROOT / "genre_vae", set[str](), set[str]()
    waiting = {"pyfunc"}
    while waiting:
        name = waiting.pop()
        seen.add(name)
        source = (package / f"{name}.py").read_text("utf-8")
        waiting |= set(tracking.imported_modules(source)) - seen
        roots |= set(re.findall(r"^\s*(?:import|from) (\w+)", source, re.MULTILINE))
    third = roots - set(sys.stdlib_module_names) - {"genre_vae"}
    names = {
        re.split(r"[<>=]", one)[0].replace("scikit-learn", "sklearn") for one in tracking.SERVED
    }
    assert third == names


def test_every_requirement_is_used() -> None:
    sources = "\n".join(
        path.read_text("utf-8")
        for folder in ("genre_vae", "entrypoints")
        for path in (ROOT / folder).glob("*.py")
    )
    with (ROOT / "pyproject.toml").open("rb") as file:
        names = [re.split(r"[<>=]", d)[0] for d in tomllib.load(file)["project"]["dependencies"]]
    for name in names:
        module = {"scikit-learn": "sklearn"}.get(name, name)
        use = {"pyarrow": r"pd\.read_parquet"}.get(name, rf"^\s*(import|from) {module}\b")
        assert re.search(use, sources, re.MULTILINE), name


def test_choices_are_what_the_package_knows() -> None:
    """Spelled out in the options, so that --help need not import the package."""
    from entrypoints import options
    from genre_vae import clustering
    from genre_vae.collection import lyrics
    from genre_vae.evaluation import comparison

    known = {
        "algorithm": clustering.ALGORITHMS,
        "lyrics_match": lyrics.MATCHES,
        "lyrics_missing": lyrics.MISSING,
        "level": tuple(comparison.MODELS),
        "metric": ("auto", *comparison.METRICS),
    }
    for name, values in known.items():
        assert tuple(options._KINDS[name][0].choices) == values, name
