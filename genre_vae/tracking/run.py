"""Runs, and stages that are done or found.

An entry point opens one `Run`, which holds the summary. A stage is a function of records and a
frozen config, which captures nothing and returns a record; `Run.do` finds its finished run by its
fingerprint, or does the work as a child run.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from filelock import FileLock
from mlflow.entities import Param, RunStatus, RunTag
from mlflow.entities import Run as StoredRun
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from genre_vae.collection.catalog import Catalog
from genre_vae.records import InputError
from genre_vae.tracking import cache, registry, store
from genre_vae.tracking.stage import (
    NOTE,
    STAGES,
    Artifact,
    Input,
    Recorder,
    Stage,
    T,
    artifacts_in,
    dataset_of,
    fingerprint_of,
    local_artifacts,
    value_of,
)
from genre_vae.tracking.store import Terminated

if TYPE_CHECKING:
    from mlflow.data.pandas_dataset import PandasDataset

FORMAT = "3"  # of the files that stages leave; those of another one cannot be read
SHOWN = ("*_task_*", "audit.*", "beta_sweep.*")  # files of stages that their run shows as its own
CHECKPOINT = ".pth"  # what a killed stage leaves that the next one can use


@dataclass
class Run:
    """The open run of an entry point or a level: does stages under it and remembers them."""

    root: Path
    client: MlflowClient
    level: str
    run_id: str
    workers: int = 1
    done: list[Artifact[Any]] = field(default_factory=list)
    summarised: bool = False

    def do(self, stage: Stage[T], *inputs: Input, config: object, title: str) -> Artifact[T]:
        """Find the finished run of a stage with these inputs and this config, or do it.

        Parameters
        ----------
        stage
            What is done.
        inputs
            What its function takes: artifacts, whose values it gets; lists of them; None; or
            other records with a ``fingerprint``. The first with a dataset says what it is about.
        config
            A frozen dataclass: everything else that decides the result.
        title
            The name that its run gets.
        """
        dataset = next(found for one in inputs if (found := dataset_of(one)) is not None)
        fingerprint = cache.fingerprint(
            stage.name, config, [fingerprint_of(one) for one in inputs], stage.code()
        )
        work = self.root / ".cache" / "work" / fingerprint
        work.parent.mkdir(parents=True, exist_ok=True)
        artifacts = [one for each in inputs for one in artifacts_in(each)]
        started = time.monotonic()
        # Whoever asks for the same work at the same time waits here, then finds it done.
        with FileLock(f"{work}.lock"):
            made = self._finished(stage.name, fingerprint)
            reused = made is not None
            if made is None:
                print(f"{stage.name:<10} {title}", flush=True)
                tags = {
                    "stage": stage.name,
                    "level": self.level,
                    "dataset": dataset.fingerprint,
                    "fingerprint": fingerprint,
                    "format": FORMAT,
                    "inputs": " ".join(one.run_id for one in artifacts),
                }
                made = self._compute(stage, inputs, config, title, dataset, tags, work)
            artifact = Artifact(made, stage, dataset, artifacts)
        artifact.reused, artifact.seconds = reused, time.monotonic() - started
        self.done.append(artifact)
        _report(artifact)
        return artifact

    def _compute(
        self,
        stage: Stage[T],
        inputs: Sequence[Input],
        config: object,
        title: str,
        dataset: Catalog,
        tags: Mapping[str, str],
        work: Path,
    ) -> StoredRun:
        work.mkdir(exist_ok=True)
        for left in work.rglob("*"):  # by a run that was killed: only its checkpoints are of use
            if left.is_file() and (left.name.startswith(".") or left.suffix != CHECKPOINT):
                left.unlink()
        params = {
            name: "auto" if value is None else str(value)
            for name, value in cache.flat(config).items()
        }
        with open_child(self.client, title, tags, params) as run_id:
            mlflow.log_input(_mlflow_dataset(dataset), context=stage.name)
            record = Recorder(self.client, run_id, work, self.workers)
            try:
                product = stage.function(record, *map(value_of, inputs), config=config)
                product.save(work)
            except BaseException as error:
                with contextlib.suppress(MlflowException):  # the error itself is what counts
                    record.flush()
                if isinstance(error, InputError):  # done again, it would fail again
                    shutil.rmtree(work)
                raise  # killed, or the disk or the store failed: checkpoints stay
            record.flush()
            if record.note:
                record.tags({NOTE: record.note})
            cache.write_manifest(work)
            mlflow.log_artifacts(str(work))
        shutil.rmtree(work)
        return self.client.get_run(run_id)

    def _finished(self, name: str, fingerprint: str) -> StoredRun | None:
        """The newest finished run with this fingerprint, if its files are all still there."""
        where = (
            f"tags.stage = '{name}' and tags.fingerprint = '{fingerprint}' "
            f"and tags.format = '{FORMAT}' and attributes.status = 'FINISHED'"
        )
        found = store.search(self.client, where, most=1)
        return found[0] if found and _is_whole(found[0]) else None

    def find(self, run_id: str, dataset: Catalog) -> Artifact[Any]:
        """A stage's finished run of a dataset, by its id or the beginning of it.

        Raises
        ------
        InputError
            If there is no such run, or it is no stage's, not finished or about something else.
        """
        where = f"attributes.run_id LIKE '{run_id}%'" if run_id.isalnum() else ""
        found = store.search(self.client, where) if where else []
        if len(found) != 1:
            raise InputError(
                f"run {run_id!r}: {len(found) or 'no'} such runs in the tracking store"
            )
        (run,) = found
        tags = run.data.tags
        if "stage" in tags and tags.get("format") != FORMAT:
            raise InputError(f"run {run_id!r}: made by another version; run its entry point again")
        known = tags.get("stage") in STAGES and run.info.status == "FINISHED"
        if not known or not _is_whole(run):
            raise InputError(f"run {run_id!r}: not the finished run of a stage")
        if tags["dataset"] != dataset.fingerprint:
            raise InputError(f"run {run_id!r}: about another collection than {dataset.folder}")
        found_again = Artifact(run, STAGES[tags["stage"]], dataset, None)
        found_again.reused = True
        return found_again

    def inputs(self, artifact: Artifact[Any]) -> list[Artifact[Any]]:
        """The stages whose products a stage has read."""
        if artifact._inputs is None:
            ids = artifact.tags.get("inputs", "").split()
            artifact._inputs = [self.find(run_id, artifact.dataset) for run_id in ids]
        return list(artifact._inputs)

    def finished(
        self, name: str, dataset: Catalog, run_ids: Sequence[str] | None = None
    ) -> list[StoredRun]:
        """The finished runs of a stage on a dataset, the newest first; only those with the given
        ids, where ids are given, so none for an empty list."""
        if run_ids is not None and not run_ids:
            return []
        where = (
            f"tags.stage = '{name}' and tags.dataset = '{dataset.fingerprint}' "
            "and attributes.status = 'FINISHED'"
        )
        if run_ids is not None:
            where += f" and attributes.run_id IN ({', '.join(map(repr, run_ids))})"
        found = store.search(self.client, where)
        readable = [one for one in found if one.data.tags.get("format") == FORMAT]
        if len(readable) < len(found):
            count = len(found) - len(readable)
            runs = f"{count} run{'s' * (count > 1)}"
            print(f"{'store':<10} {runs} of another version left out", flush=True)
        return readable

    def summary(
        self, best: Artifact[Any], shown: Sequence[Artifact[Any]], *, listed: bool = True
    ) -> None:
        """Put what a person looks for first on this run itself, since the UI folds its children.

        Parameters
        ----------
        best
            Its metrics and tags ``best/...`` become this run's.
        shown
            Their tables and figures become this run's, their verdicts its tags, and their texts in
            Markdown its description.
        listed
            Whether to print where the files are.
        """
        files = [path for one in shown for name in SHOWN for path in sorted(one.folder.glob(name))]
        tags = {key: text for key, text in best.tags.items() if key.startswith("best/")}
        for one in shown:
            tags |= {key: text for key, text in one.tags.items() if key.startswith("verdict/")}
        record = Recorder(self.client, self.run_id, self.root)
        record.metrics({k: value for k, value in best.metrics.items() if k.startswith("best/")})
        record.flush()
        note = ""
        for text in (file.read_text("utf-8") for file in files if file.suffix == ".md"):
            if len(note) + len(text) < registry.MAX_TAG:  # half a table helps nobody
                note += f"{text}\n"
        record.tags(tags | {NOTE: note})
        for file in files:
            mlflow.log_artifact(str(file), run_id=self.run_id)
        self.summarised = True
        reused = sum(one.reused for one in self.done)
        print(f"{self.level}: {len(self.done)} stages, {reused} reused")
        if listed and files:
            folder = local_artifacts(self.client.get_run(self.run_id))
            for file in files:
                print(f"  {folder / file.name}")

    @contextlib.contextmanager
    def group(self, level: str) -> Iterator[Run]:
        """A level as a child run of its own, under which its stages run."""
        with open_child(self.client, level, {}, {}) as run_id:
            child = Run(self.root, self.client, level, run_id, self.workers)
            yield child
        self.done += child.done


@contextlib.contextmanager
def open_run(entry_point: str, options: Mapping[str, str], *, workers: int = 1) -> Iterator[Run]:
    """The run of one entry point: opened in the store, closed with the right status.

    Under ``mlflow run`` it is the run that command has made; otherwise a new one. It ends FINISHED,
    FAILED for any error, and KILLED for SIGTERM and Ctrl-C.

    Parameters
    ----------
    entry_point
        Its name, also the level of the stages that it does.
    options
        The resolved options, logged where ``mlflow run`` has not logged the typed ones already.
    workers
        Processes or threads that stages may use.
    """
    root = store.project_root()
    client = store.open_store(root)
    with store.sigterm_raises(), _ended(client, mlflow.start_run(run_name=entry_point)) as run_id:
        tags = store.identity() | {"mlflow.runName": entry_point, "entry_point": entry_point}
        logged = client.get_run(run_id).data.params
        params = {name: text for name, text in options.items() if name not in logged}
        _log(client, run_id, params, tags)
        client.log_dict(run_id, dict(options), "options.json")
        client.log_dict(run_id, store.environment(), "environment.json")
        started = time.monotonic()
        run = Run(root, client, entry_point, run_id, workers)
        yield run
        if run.done and not run.summarised:  # a single stage, after what it needed
            run.summary(run.done[-1], run.done[-1:])
            print(f"  {run.done[-1].folder}")
        print(f"{entry_point}: run {run_id} finished in {time.monotonic() - started:.1f} s")
        uri = mlflow.get_tracking_uri()
        if uri.startswith("sqlite:"):  # of another store its owner knows the address
            print(f"look at it with: mlflow ui --backend-store-uri {shlex.quote(uri)}")


@contextlib.contextmanager
def open_child(
    client: MlflowClient, name: str, tags: Mapping[str, str], params: Mapping[str, str]
) -> Iterator[str]:
    """A child of the open run, created with its tags and ended with the status that fits."""
    made = mlflow.start_run(run_name=name, nested=True, tags={**store.identity(), **tags})
    with _ended(client, made) as run_id:
        _log(client, run_id, params, {})
        yield run_id


def _log(
    client: MlflowClient, run_id: str, params: Mapping[str, str], tags: Mapping[str, str]
) -> None:
    client.log_batch(
        run_id,
        params=[Param(key, value) for key, value in params.items()],
        tags=[RunTag(key, value) for key, value in tags.items()],
    )


@contextlib.contextmanager
def _ended(client: MlflowClient, made: mlflow.ActiveRun) -> Iterator[str]:
    status = RunStatus.FAILED
    try:
        yield made.info.run_id
        status = RunStatus.FINISHED
    except (KeyboardInterrupt, Terminated):
        status = RunStatus.KILLED
        raise
    finally:
        mlflow.end_run(RunStatus.to_string(status))


def _is_whole(run: StoredRun) -> bool:
    uri = run.data.tags.get(registry.MODEL_URI)  # a model lies beside the run's own files
    try:
        folder = local_artifacts(run)
    except (MlflowException, FileNotFoundError) as error:
        if not store.is_missing(error):
            raise
        return False
    return cache.is_whole(folder) and (uri is None or registry.is_there(uri))


def _report(artifact: Artifact[Any]) -> None:
    name, title = artifact.stage.name, artifact.title
    if artifact.reused:
        print(f"{name:<10} {title}: reused run {artifact.run_id[:8]}", flush=True)
    else:
        print(f"{'':<10} done in {artifact.seconds:.1f} s", flush=True)
    for line in artifact.note.splitlines():
        print(f"{'':<10} {line}", flush=True)


def _mlflow_dataset(dataset: Catalog) -> PandasDataset:
    """The catalog as MLflow keeps datasets: schema, row count, and our fingerprint as digest."""
    from mlflow.data.pandas_dataset import from_pandas

    with warnings.catch_warnings():
        # MLflow registers its source for local folders twice and warns that it had to choose.
        warnings.filterwarnings("ignore", "The specified dataset source can be interpreted")
        return from_pandas(
            dataset.tracks,
            source=str(dataset.folder),
            targets="genre",
            name=dataset.name,
            digest=dataset.fingerprint,
        )
