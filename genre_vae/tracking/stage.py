"""Stages: functions of records with a name, what they write to, and what a finished one leaves."""

from __future__ import annotations

import threading
import time
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

import mlflow
from mlflow.entities import Metric, RunTag
from mlflow.entities import Run as StoredRun
from mlflow.tracking import MlflowClient
from tqdm import tqdm

from genre_vae.collection.catalog import Catalog
from genre_vae.tracking import cache, registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FLUSH_AT = 500  # metrics sent in one batch: a call each costs a hundred times as much
MAX_BATCH = 1000  # metrics that one batch may hold
NOTE = "mlflow.note.content"


class Product(Protocol):
    """A record that a stage returns."""

    def save(self, folder: Path) -> None:
        """Write it into a folder."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""


T = TypeVar("T", bound=Product)
R = TypeVar("R")


@dataclass(frozen=True)
class Stage(Generic[T]):
    """A function of records with a name, whose finished runs can be found again."""

    name: str
    function: Callable[..., T]
    without: tuple[str, ...] = ()

    @cached_property
    def product(self) -> type[T]:
        """The record that it returns."""
        made: type[T] = typing.get_type_hints(self.function)["return"]
        return made

    def code(self) -> cache.Code:
        """The code that decides its result."""
        return cache.code_of(self.function, without=self.without)


STAGES: dict[str, Stage[Any]] = {}


def stage(name: str, *, without: tuple[str, ...] = ()) -> Callable[[Callable[..., T]], Stage[T]]:
    """Make a stage of a function ``f(record, *inputs, config) -> product``.

    Parameters
    ----------
    name
        Its name in the store.
    without
        Modules that it draws with beside its result: a change in them does not make it anew.
    """

    def decorate(function: Callable[..., T]) -> Stage[T]:
        made = Stage(name, function, without)
        STAGES[name] = made
        return made

    return decorate


class Recorder:
    """What a stage writes to beside its result: files, metrics, tags and a note on its run.

    Parameters
    ----------
    folder
        For files; they become artifacts of the run.
    workers
        Processes or threads that the stage may use. They do not change its result.
    """

    def __init__(self, client: MlflowClient, run_id: str, folder: Path, workers: int = 1) -> None:
        self.folder = folder
        self.workers = workers
        self.note = ""
        self._client = client
        self._run_id = run_id
        self._metrics: list[Metric] = []
        self._lock = threading.Lock()  # members train in threads

    def metrics(self, values: Mapping[str, float], *, step: int = 0) -> None:
        """Buffer metrics; they are sent in batches."""
        now = int(time.time() * 1000)
        made = [Metric(key, float(value), now, step) for key, value in values.items()]
        with self._lock:
            self._metrics += made
            if len(self._metrics) >= FLUSH_AT:
                self._send()

    def flush(self) -> None:
        """Send what is buffered."""
        with self._lock:
            self._send()

    def _send(self) -> None:
        waiting, self._metrics = self._metrics, []
        for start in range(0, len(waiting), MAX_BATCH):
            self._client.log_batch(self._run_id, waiting[start : start + MAX_BATCH])

    def tags(self, values: Mapping[str, object]) -> None:
        """Set tags."""
        tags = [RunTag(key, str(value)) for key, value in values.items()]
        self._client.log_batch(self._run_id, tags=tags)

    def progress(self, results: Iterable[R], *, total: int) -> Iterable[R]:
        """Pass results on under a progress bar, where there is a terminal."""
        shown: Iterable[R] = tqdm(
            results, total=total, unit="file", desc=f"{'':<10}", leave=False, disable=None
        )
        return shown

    def figure(self, name: str, figure: Figure) -> None:
        """Write a figure as a file."""
        figure.savefig(self.folder / name, dpi=150)

    def model(self, folder: Path, example: str) -> None:
        """Log the model that was saved in a folder (`registry.log_model`)."""
        self.tags({registry.MODEL_URI: registry.log_model(folder, example)})


class Artifact(Generic[T]):
    """A finished stage: `value` is its product, read from `folder` when it is first asked for, so
    that work done now and work found again are the same by construction."""

    def __init__(
        self, made: StoredRun, stage: Stage[T], dataset: Catalog, inputs: Sequence[Any] | None
    ) -> None:
        self.stage = stage
        self.dataset = dataset
        self.run_id: str = made.info.run_id
        self.fingerprint: str = made.data.tags["fingerprint"]
        self.title: str = made.data.tags["mlflow.runName"]
        self.note: str = made.data.tags.get(NOTE, "")
        self.tags: Mapping[str, str] = made.data.tags
        self.metrics: Mapping[str, float] = made.data.metrics
        self.reused = False
        self.seconds = 0.0
        self._run = made
        self._inputs = inputs

    @cached_property
    def folder(self) -> Path:
        """A local folder with its files; downloaded where the store is not on this disk."""
        return local_artifacts(self._run)

    @cached_property
    def value(self) -> T:
        """The record that the stage returned."""
        return self.stage.product.load(self.folder)


def local_artifacts(run: StoredRun) -> Path:
    """A local folder with a run's artifacts; downloaded where the store is not on this disk."""
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=run.info.artifact_uri))


Input = Any  # an Artifact, a list of them, None, or a record with a ``fingerprint``


def artifacts_in(given: Input) -> list[Artifact[Any]]:
    """The artifacts among what a stage is given."""
    each = given if isinstance(given, (list, tuple)) else [given]
    return [one for one in each if isinstance(one, Artifact)]


def dataset_of(given: Input) -> Catalog | None:
    """The dataset that an input is about, if it is about one."""
    if isinstance(given, Catalog):
        return given
    return next((one.dataset for one in artifacts_in(given)), None)


def fingerprint_of(given: Input) -> object:
    """The fingerprint of an input, or a list of those in a list."""
    if isinstance(given, (list, tuple)):
        return [fingerprint_of(one) for one in given]
    return None if given is None else str(given.fingerprint)


def value_of(given: Input) -> Any:
    """What a stage's function gets for an input."""
    if isinstance(given, (list, tuple)):
        return [value_of(one) for one in given]
    return given.value if isinstance(given, Artifact) else given
