"""The model registry: a model logged as code and plain data, its versions, and the champion."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from genre_vae.records import InputError
from genre_vae.tracking.store import PACKAGE, is_missing

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

MODEL = "genre-vae"  # in the registry
CHAMPION = "champion"
MODEL_URI = "model_uri"  # the tag of a run that has logged a model
MAX_TAG = 7000  # characters; MLflow takes 8,000
DESCRIPTION = (
    "Places audio among the clusters of a collection: paths or data URIs in, a record each out."
)
SERVED = (  # what the registered model's code imports, in pyproject's ranges
    *("av>=18,<19", "filelock>=3.16,<5", "joblib>=1.4,<2", "librosa>=0.11,<0.12"),
    *("mlflow>=3.17,<3.18", "mutagen>=1.47,<2", "platformdirs>=4.2,<5", "pyarrow>=16,<26"),
    *("numpy>=2.0,<3", "pandas>=2.2,<4", "safetensors>=0.5,<1", "scikit-learn>=1.6,<2"),
    *("scipy>=1.14,<2", "soundfile>=0.13,<0.15", "soxr>=0.5,<2", "threadpoolctl>=3.5,<4"),
    "torch==2.13.0",
)


class Version(NamedTuple):
    """A version in the registry: its number, whether it was made now, and in a line which other
    version was the champion before."""

    number: int
    is_new: bool
    before: str


def log_model(folder: Path, example: str) -> str:
    """Log what `genre_vae.serving` saved in a folder as a model of the open run.

    The model is logged as code, with its requirements given: MLflow would unpickle it, and guess
    for half a minute.

    Parameters
    ----------
    folder
        The folder of a saved `ClusterIndex`.
    example
        An item that the model can be tried with.

    Returns
    -------
    str
        The model's URI.
    """
    logging.getLogger("mlflow.models.signature").setLevel(logging.WARNING)  # it reports the trial
    with warnings.catch_warnings():
        # The answer's schema is open: a record has an error or a place.
        warnings.filterwarnings("ignore", ".*Any type hint is inferred as AnyType")
        logged = mlflow.pyfunc.log_model(
            name=MODEL,
            python_model=str(PACKAGE / "serving" / "pyfunc.py"),
            code_paths=[str(PACKAGE)],
            artifacts={"placement": str(folder)},
            pip_requirements=list(SERVED),
            input_example=([example], {"neighbours": 5, "latent": True}),
        )
    return str(logged.model_uri)


def is_there(model_uri: str) -> bool:
    """Whether a logged model can still be loaded."""
    try:
        mlflow.models.get_model_info(model_uri)
    except (MlflowException, FileNotFoundError) as error:
        if not is_missing(error):
            raise
        return False
    return True


def register(
    client: MlflowClient, *, model_uri: str, run_id: str, tags: Mapping[str, object]
) -> Version:
    """Make a logged model a version of `MODEL`, and the champion.

    The version that the model has already is kept.

    Parameters
    ----------
    model_uri, run_id
        The model's URI, and the run that logged it.
    tags
        For the version.
    """
    _ensure_registered(client)
    aliases: Mapping[str, str] = client.get_registered_model(MODEL).aliases
    before = ""
    if CHAMPION in aliases:
        old = client.get_model_version(MODEL, aliases[CHAMPION])
        before = f"version {old.version}, {old.tags.get('method')} of {old.tags.get('dataset')}"
    known = client.search_model_versions(f"name = '{MODEL}' and run_id = '{run_id}'")
    version = (
        known[0]
        if known
        # A tracking server accepts the model's location only with the id of a logged model.
        else client.create_model_version(
            MODEL, model_uri, run_id, model_id=model_uri.rpartition("/")[2]
        )
    )
    for key, value in tags.items():
        client.set_model_version_tag(MODEL, version.version, key, str(value))
    client.set_registered_model_alias(MODEL, CHAMPION, version.version)
    same = before.startswith(f"version {version.version},")
    return Version(int(version.version), not known, "" if same else before)


def _ensure_registered(client: MlflowClient) -> None:
    try:
        client.create_registered_model(MODEL, description=DESCRIPTION)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


class ServedModel:
    """A registered or logged model, run by the code that it was registered with.

    A model keeps a copy of this package. MLflow would run it with the version that is imported
    here, if one is, and an older model would not find what it needs.

    Parameters
    ----------
    uri
        The model's URI.

    Raises
    ------
    InputError
        If there is no such model.
    """

    def __init__(self, uri: str) -> None:
        self._modules: dict[str, ModuleType] = {}
        with self._own_code():
            try:
                self._model: PyFuncModel = mlflow.pyfunc.load_model(uri)
            except MlflowException as error:
                raise InputError(f"model {uri}: cannot be loaded: {error}") from error

    def predict(self, items: Sequence[str], *, params: Mapping[str, object]) -> list[Any]:
        """A record for each item: see `genre_vae.serving.requests.predict`."""
        with self._own_code():
            return list(self._model.predict(list(items), params=dict(params)))

    @contextlib.contextmanager
    def _own_code(self) -> Iterator[None]:
        """The model's copy of this package is imported in this block, instead of this one."""
        path, ours = sys.path.copy(), _taken_out()
        sys.modules.update(self._modules)
        try:
            yield
        finally:
            self._modules = _taken_out()
            sys.modules.update(ours)
            sys.path[:] = path


def _taken_out() -> dict[str, ModuleType]:
    """This package's modules, no longer imported."""
    names = [name for name in sys.modules if name.partition(".")[0] == PACKAGE.name]
    return {name: sys.modules.pop(name) for name in names}
