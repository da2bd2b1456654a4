"""The registered model as MLflow loads it: this file is its code, the rest is plain data.

``mlflow.pyfunc.log_model`` keeps a copy of it and of the package; nothing is unpickled.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import mlflow.models
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from genre_vae.serving import requests
from genre_vae.serving.index import NEIGHBOURS, ClusterIndex

ROOT = "GENRE_VAE_AUDIO_ROOT"  # environment variable: the folder below which a server reads paths
PREDICTS = ("mlflow", "_mlflow_pyfunc_backend_predict.py")  # programs of ``mlflow models predict``
SERVERS = ("mlflow.pyfunc.scoring_server.app", "mlserver")  # modules that answer over HTTP


class GenreModel(PythonModel):
    """Audio paths or ``data:`` URIs in, assignments to a collection's clusters out."""

    def load_context(self, context: PythonModelContext) -> None:
        started = time.monotonic()
        self.placement = ClusterIndex.load(Path(context.artifacts["placement"]))
        requests.predict(self.placement, [requests.example()])  # the first call imports a lot
        root = _root()
        if isinstance(root, Path) and not root.is_dir():
            raise NotADirectoryError(f"{ROOT}={root}: no folder is there")
        if _is_served():
            seconds = time.monotonic() - started
            about = f"{self.placement.method}, paths below {root}, ready after {seconds:.1f} s"
            print(f"genre-vae: {about}", flush=True)

    # MLflow warns of a return annotation that names no type of its own, so there is none.
    def predict(  # type: ignore[no-untyped-def]
        self,
        context: PythonModelContext,
        model_input: list[str],
        params: dict[str, Any] | None = None,
    ):
        """A record for each item, as `genre_vae.serving.requests.predict` makes them.

        `params` may have ``neighbours`` (how many) and ``latent`` (whether).
        """
        given = {"neighbours": NEIGHBOURS, "latent": True}
        given |= {name: value for name, value in (params or {}).items() if value is not None}
        return requests.predict(
            self.placement,
            list(model_input),
            neighbours=max(0, int(given["neighbours"])),
            latent=bool(given["latent"]),
            root=_root(),
            workers=min(4, os.cpu_count() or 1),
        )


def _root() -> Any:
    """Where paths may lie: below the folder that is set, else anywhere for a person's own call and
    nowhere for a server's."""
    if os.environ.get(ROOT):
        return Path(os.environ[ROOT])
    return "nowhere" if _is_served() else "anywhere"


def _is_served() -> bool:
    """Whether this process serves others. MLflow sets its variable in every server that it starts,
    and also for ``mlflow models predict``, which is a person's call."""
    program = Path(getattr(sys.modules.get("__main__"), "__file__", None) or "").name
    says = os.environ.get("_MLFLOW_IS_IN_SERVING_ENVIRONMENT") == "true"
    return (says and program not in PREDICTS) or any(name in sys.modules for name in SERVERS)


mlflow.models.set_model(GenreModel())
