"""The fingerprint law, in both directions: what decides a result counts, and nothing else."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from genre_vae.tracking import cache, store

PROJECT = {
    "house/__init__.py": "",
    "house/deep.py": "X = 1\nTABLE = 'table.txt'\n",
    "house/table.txt": "a row\n",
    "house/helper.py": "def help():\n    from house import deep\n    return deep.X\n",
    "house/drawing.py": "COLOUR = 'blue'\n",
    "house/other.py": "Y = 1\n",
    "house/types.py": "class Record:\n    pass\n",
    "house/sound.py": "import librosa\nimport numpy\n",
    "house/stage.py": """
from __future__ import annotations
from typing import TYPE_CHECKING
from house import helper, other
from house.types import Record
if TYPE_CHECKING:
    from house import sound

FACTOR = 2
UNUSED = 3

def near():
    return FACTOR * helper.help()

def far():
    return other.Y

def work(record, features: Record, *, config: sound.Config) -> Record:
    from house import drawing
    return near(), drawing.COLOUR

def listen(record):
    from house import sound
""",
}


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in PROJECT.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "house"]:
        del sys.modules[name]


def fingerprint(house: Path, function: str = "work", *, without: tuple[str, ...] = ()) -> str:
    """Of a stage of the project above, as a new process would find it."""
    for cached in (cache.code_of, *cache.CACHES):
        cached.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "house"]:
        del sys.modules[name]
    importlib.invalidate_caches()
    module = importlib.import_module("house.stage")
    code = cache.code_of(getattr(module, function), without=without, root=house)
    return cache.fingerprint("test", {}, [], code, root=house)


def edit(house: Path, name: str, old: str, new: str) -> None:
    text = (house / name).read_text()
    assert old in text
    (house / name).write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("house/stage.py", "near(), drawing", "near() + 1, drawing"),
        ("house/stage.py", "FACTOR * helper", "-FACTOR * helper"),
        ("house/stage.py", "FACTOR = 2", "FACTOR = 4"),
        ("house/helper.py", "return deep.X", "return -deep.X"),
        ("house/deep.py", "X = 1", "X = 5"),
        ("house/table.txt", "a row", "another row"),
        ("house/drawing.py", "blue", "red"),
    ],
)
def test_an_edit_on_the_path_of_a_stage_changes_its_fingerprint(
    house: Path, name: str, old: str, new: str
) -> None:
    before = fingerprint(house)
    edit(house, name, old, new)
    assert fingerprint(house) != before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("house/other.py", "Y = 1", "Y = 2"),
        ("house/stage.py", "return other.Y", "return -other.Y"),
        ("house/stage.py", "UNUSED = 3", "UNUSED = 4"),
        ("house/types.py", "pass", "x = 1"),
        ("house/sound.py", "numpy", "scipy"),
    ],
)
def test_an_edit_elsewhere_does_not(house: Path, name: str, old: str, new: str) -> None:
    before = fingerprint(house)
    edit(house, name, old, new)
    assert fingerprint(house) == before


def test_what_a_stage_only_draws_with_does_not_count(house: Path) -> None:
    before = fingerprint(house, without=("house.drawing",))
    edit(house, "house/drawing.py", "blue", "red")
    assert fingerprint(house, without=("house.drawing",)) == before


def test_the_version_of_a_library_counts_where_it_is_imported(
    house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint(house), fingerprint(house, "listen")
    versions = {"librosa": "99.0"}
    monkeypatch.setattr(
        cache, "version_of", lambda name: versions.get(name, store.version_of(name))
    )
    after = fingerprint(house), fingerprint(house, "listen")
    assert after[0] == before[0]
    assert after[1] != before[1]


@dataclass(frozen=True)
class Config:
    number: float
    names: tuple[str, ...]


def test_a_config_is_compared_by_its_values() -> None:
    code = cache.Code((), (), ())

    def of(config: object, *inputs: object) -> str:
        return cache.fingerprint("test", config, inputs, code)

    assert of(Config(1.0, ("a",))) == of(Config(1.0, ("a",)))
    different = {
        of(Config(1.0, ("a",))),
        of(Config(1.5, ("a",))),
        of(Config(1.0, ("b",))),
        of(Config(1.0, ("a", "b"))),
        of(Config(1.0, ("a",)), None),
        of(Config(1.0, ("a",)), "x"),
        of(Config(1.0, ("a",)), ["x"]),
        of(Config(1.0, ("a",)), "x", "y"),
        of(Config(1.0, ("a",)), "y", "x"),
    }
    assert len(different) == 9


def test_every_stage_of_the_project_has_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each that decides something the wing that does the work, and of none the tracking."""
    from genre_vae.stages import cluster, collect, compare, fuse, register, train

    def modules(stage: object) -> set[str]:
        return set(stage.code().modules)  # type: ignore[attr-defined]

    assert {"genre_vae.features.spectral", "genre_vae.collection.audio"} <= modules(collect.extract)
    assert {"genre_vae.collection.gtzan", "genre_vae.records"} <= modules(collect.extract)
    assert {"librosa", "soundfile", "soxr", "scipy"} <= set(collect.extract.code().libraries)
    assert {"genre_vae.models.training", "genre_vae.models.networks"} <= modules(train.fit)
    assert "torch" in train.fit.code().libraries
    assert "genre_vae.models.training" not in modules(train.baseline)
    assert {"genre_vae.clustering", "genre_vae.evaluation.metrics"} <= modules(cluster.assign)
    assert {"genre_vae.clustering", "genre_vae.features.fusion"} <= modules(fuse.join_lyrics)
    assert {"genre_vae.evaluation.table", "genre_vae.report.markdown"} <= modules(compare.rank)
    assert "genre_vae.serving.index" in modules(register.log)
    for one in (train.fit, train.baseline, cluster.assign, fuse.join_lyrics):
        assert not {name for name in modules(one) if name.startswith("genre_vae.report")}
        assert not {"genre_vae.methods", "genre_vae.config", "genre_vae.options"} & modules(one)
    for other in (collect.extract, train.fit, compare.rank):
        assert not {name for name in modules(other) if name.startswith("genre_vae.tracking")}
