"""The layering of the code, checked by reading its imports."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

LAYERS = (  # a module may import from its own layer's left and from the layers below
    ("tracking", "pyfunc"),
    ("serving",),
    ("figures", "comparison", "training", "demo", "lyrics", "vectors", "musicnn"),
    ("features", "baselines", "fusion", "audit", "conditioning", "faults"),
    (
        "catalog",
        "audio",
        "metrics",
        "clustering",
        "objective",
        "scaling",
        "stacking",
        "tensorbundle",
    ),
    ("models", "records"),
)
PACKAGE = sorted((ROOT / "genre_vae").glob("*.py"))
ENTRYPOINTS = sorted((ROOT / "entrypoints").glob("*.py"))


def imports(path: Path, *, top: bool = False) -> set[str]:
    """Dotted names of all that a file imports; with `top`, only what runs at its import."""
    tree = ast.parse(path.read_text("utf-8"))
    nodes = tree.body if top else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def roots(path: Path, *, top: bool = False) -> set[str]:
    return {name.split(".")[0] for name in imports(path, top=top)}


def test_every_module_has_its_layer() -> None:
    layered = [module for layer in LAYERS for module in layer]
    assert sorted(layered) == sorted(path.stem for path in PACKAGE if path.stem != "__init__")


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: path.stem)
def test_imports_point_down(path: Path) -> None:
    if path.stem == "__init__":
        assert imports(path) == set()
        return
    own = next(number for number, layer in enumerate(LAYERS) if path.stem in layer)
    allowed = {module for layer in LAYERS[own + 1 :] for module in layer}
    inner = {name.split(".")[1] for name in imports(path) if name.startswith("genre_vae.")}
    siblings = inner & set(LAYERS[own])
    assert inner - siblings <= allowed
    for sibling in siblings:  # within a layer, one way only
        assert path.stem not in {
            name.split(".")[1]
            for name in imports(ROOT / "genre_vae" / f"{sibling}.py")
            if name.startswith("genre_vae.")
        }


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: path.stem)
def test_only_tracking_knows_mlflow_and_nothing_knows_click(path: Path) -> None:
    assert ("mlflow" in roots(path)) == (path.stem in ("tracking", "pyfunc"))
    assert not roots(path) & {"click", "entrypoints", "tests"}


@pytest.mark.parametrize("path", ENTRYPOINTS, ids=lambda path: path.stem)
def test_entry_points_leave_the_work_to_the_package(path: Path) -> None:
    assert "mlflow" not in roots(path)
    assert not roots(path, top=True) & {"torch", "sklearn", "librosa", "matplotlib", "joblib"}


@pytest.mark.parametrize("path", [*PACKAGE, *ENTRYPOINTS], ids=lambda path: path.stem)
def test_nothing_runs_at_import(path: Path) -> None:
    """Only definitions, constants, and what MLflow needs: variables that it reads then, and the
    name of the model in the file that is a model's code."""
    allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    for node in ast.parse(path.read_text("utf-8")).body:
        text = ast.unparse(node)
        known = text.startswith(
            ("if TYPE_CHECKING", "if __name__ == '__main__'", "os.environ.setdefault", "'", '"')
        ) or (path.stem == "pyfunc" and text.startswith("mlflow.models.set_model"))
        assert isinstance(node, allowed) or known, text


@pytest.mark.parametrize("path", [*PACKAGE, *ENTRYPOINTS], ids=lambda path: path.stem)
def test_nothing_is_unpickled_swallowed_or_muted(path: Path) -> None:
    assert not roots(path) & {"pickle", "dill", "cloudpickle"}
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), "bare except"
        if isinstance(node, ast.Call):
            call = ast.unparse(node.func)
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if call == "np.load":
                assert keywords.get("allow_pickle") == "False", ast.unparse(node)
            if call == "torch.load":
                assert keywords.get("weights_only") == "True", ast.unparse(node)
            assert call != "joblib.load"
