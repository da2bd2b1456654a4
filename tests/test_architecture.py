"""Laws of the code that neither the linter nor the import contracts state (pyproject.toml)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.helpers import ROOT

PACKAGE = sorted((ROOT / "genre_vae").rglob("*.py"))
ENTRYPOINTS = sorted((ROOT / "entrypoints").glob("*.py"))
DEFINITIONS = (
    *(ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign),
)
NEEDED = (  # what else may stand at the top: MLflow reads its variables when it is imported
    *("if TYPE_CHECKING:", "if __name__ == '__main__':", "os.environ.setdefault("),
    "mlflow.models.set_model(",  # in the file that MLflow runs as a model's code
)


def calls(path: Path) -> Iterator[tuple[str, dict[str | None, str]]]:
    """What a file calls, with its keyword arguments."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            yield ast.unparse(node.func), given


def test_what_is_loaded_is_never_unpickled() -> None:
    for path in (*PACKAGE, *ENTRYPOINTS):
        for name, given in calls(path):
            if name == "np.load":
                assert given.get("allow_pickle") == "False", path
            if name == "torch.load":
                assert given.get("weights_only") == "True", path
            assert name not in ("joblib.load", "pickle.load", "pickle.loads"), path


def test_nothing_runs_at_import() -> None:
    for path in (*PACKAGE, *ENTRYPOINTS):
        for node in ast.parse(path.read_text("utf-8")).body:
            docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            text = ast.unparse(node)
            assert docstring or isinstance(node, DEFINITIONS) or text.startswith(NEEDED), text


def test_rooms_are_small() -> None:
    """A module holds one thing; a script parses, calls and records."""
    for path in PACKAGE:
        assert len(path.read_text("utf-8").splitlines()) <= 400, path
    for path in ENTRYPOINTS:
        if path.stem != "cli":
            assert len(path.read_text("utf-8").splitlines()) <= 60, path
