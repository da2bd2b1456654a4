"""Print the import graph: ``make graph``. Every import counts, those inside functions too."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable

import grimp

from tests.helpers import ROOT

PACKAGE = "genre_vae."


def rooms() -> list[list[str]]:
    """The layers of the house as pyproject.toml has them, the highest first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (layers,) = (
        contract["layers"]
        for contract in project["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    )
    return [[name.strip() for name in layer.split("|")] for layer in layers]


def short(names: Iterable[str]) -> str:
    return ", ".join(sorted(name.removeprefix(PACKAGE) for name in names)) or "nothing"


def main() -> None:
    graph = grimp.build_graph("genre_vae", "entrypoints")
    layers = rooms()
    every = [room for layer in layers for room in layer]

    def room_of(module: str) -> str:
        return next(room for room in every if f"{module}.".startswith(f"{room}."))

    print("rooms, the highest first, and what they import")
    inside: dict[str, list[str]] = {}
    for module in sorted(graph.modules - {"genre_vae"}):
        inside.setdefault(room_of(module), []).append(module)
    for layer in layers:
        for room in layer:
            found = {
                room_of(target)
                for module in inside[room]
                for target in graph.find_modules_directly_imported_by(module)
            }
            print(f"  {room.removeprefix(PACKAGE):12} -> {short(found - {room})}")
    print("\nmodules, and what they import of this project")
    for room in every:
        for module in inside[room]:
            found = graph.find_modules_directly_imported_by(module)
            if found:
                print(f"  {module.removeprefix(PACKAGE):26} -> {short(found)}")
    count = sum(len(graph.find_modules_directly_imported_by(one)) for one in graph.modules)
    print(f"\n{len(graph.modules)} modules, {count} arrows")


if __name__ == "__main__":
    main()
