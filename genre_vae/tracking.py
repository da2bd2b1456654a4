"""Everything that talks to MLflow: the store, runs, metrics, artifacts, and reuse of finished work.

An entry point opens one `invocation`: a run that holds the summary. Each stage it calls is a child
run, found again by its fingerprint instead of being computed twice.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.metadata
import inspect
import json
import logging
import os
import platform
import shlex
import shutil
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import psutil
from filelock import FileLock

from genre_vae.collection.catalog import Catalog
from genre_vae.evaluation.table import RANKED_BY
from genre_vae.files import write_json
from genre_vae.records import InputError

# Read when mlflow is imported: be quiet, and do not wait minutes for a server that is down.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
from mlflow.entities import Metric, Param, Run, RunStatus, RunTag
from mlflow.tracking import MlflowClient

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow.data.pandas_dataset import PandasDataset
    from mlflow.pyfunc import PyFuncModel

SETTINGS = ("seeds", "seed", "n_clusters")  # params that the rows of a table should share
ROW_TAGS = (  # of a clustering run
    *("method", "model", "algorithm", "reads", "input", "origin", "provenance", "label_use"),
)
SUMMARISED = (
    "*_task_*",
    "audit.*",
    "beta_sweep.*",
)  # files that a level's run shows beside its stages' own
PACKAGE = Path(__file__).resolve().parent
MODEL = "genre-vae"  # in the registry
CHAMPION = "champion"
MODEL_DESCRIPTION = (
    "Places audio among the clusters of a collection: paths or data URIs in, a record each out."
)
SERVED = (  # what the registered model's code imports, in pyproject's ranges
    *("joblib>=1.4,<2", "librosa>=0.11,<0.12", "mlflow>=3.17,<3.18", "numpy>=2.0,<3"),
    *("pandas>=2.2,<4", "safetensors>=0.5,<1", "scikit-learn>=1.6,<2", "scipy>=1.14,<2"),
    *("soundfile>=0.13,<0.15", "soxr>=0.5,<2", "threadpoolctl>=3.5,<4", "torch==2.13.0"),
)
MAX_TAG = 7000  # characters; MLflow takes 8,000
FLUSH_AT = 500  # metrics sent in one batch: a call each costs a hundred times as much
VERSIONED = ("numpy", "torch", "scikit-learn")  # whose versions can change a result
RECORDED = (*VERSIONED, "librosa", "mlflow", "pandas", "safetensors", "scipy", "soundfile", "soxr")


class Terminated(BaseException):
    """SIGTERM, as an exception, so that runs are closed and temporary files removed."""


@dataclass(frozen=True)
class StageRun:
    """A finished stage. `folder` holds its artifacts; `tags` are its run's, with what it was about
    and what it made; `note` says in a line what came out."""

    stage: str
    title: str
    run_id: str
    fingerprint: str
    dataset: Catalog
    folder: Path
    tags: Mapping[str, str]
    reused: bool
    seconds: float

    @property
    def note(self) -> str:
        return self.tags.get("mlflow.note.content", "")


Outcome = tuple[StageRun, list[StageRun]]  # of a level: its table and its figures


class Recorder:
    """What a stage's computation writes to: files into `folder`, metrics and tags into its run."""

    def __init__(self, client: MlflowClient, run_id: str, folder: Path) -> None:
        self.folder = folder
        self.note = ""
        self._client = client
        self._run_id = run_id
        self._metrics: list[Metric] = []
        self._flushing = threading.Lock()

    def metrics(self, values: Mapping[str, float], *, step: int = 0) -> None:
        """Buffer metrics; they are sent in batches."""
        now = int(time.time() * 1000)
        self._metrics += [Metric(key, float(value), now, step) for key, value in values.items()]
        if len(self._metrics) >= FLUSH_AT:
            self.flush()

    def tags(self, values: Mapping[str, object]) -> None:
        tags = [RunTag(key, str(value)) for key, value in values.items()]
        self._client.log_batch(self._run_id, tags=tags)

    def figure(self, name: str, figure: Figure) -> None:
        figure.savefig(self.folder / name, dpi=150)

    def model(self, placement: Path, example: str) -> None:
        """Log a `serving.Placement` saved in a folder as a model of this run.

        Models-from-code, and requirements are given: MLflow would unpickle, and guess for half a
        minute. `example` is an item that the model can be tried with.
        """
        logging.getLogger("mlflow.models.signature").setLevel(logging.WARNING)  # it tells of trying
        with warnings.catch_warnings():
            # The answer's schema is open: a record has an error or a place.
            warnings.filterwarnings("ignore", ".*Any type hint is inferred as AnyType")
            logged = mlflow.pyfunc.log_model(
                name=MODEL,
                python_model=str(PACKAGE / "serving" / "pyfunc.py"),
                code_paths=[str(PACKAGE)],
                artifacts={"placement": str(placement)},
                pip_requirements=list(SERVED),
                input_example=([example], {"neighbours": 5, "latent": True}),
            )
        self.tags({"model_uri": logged.model_uri})

    def flush(self) -> None:
        with self._flushing:  # members may train in threads
            waiting, self._metrics = self._metrics, []
            for start in range(0, len(waiting), 1000):  # the most one batch may hold
                self._client.log_batch(self._run_id, waiting[start : start + 1000])


@dataclass
class Tracker:
    """The open invocation: runs stages under it and remembers them."""

    root: Path
    client: MlflowClient
    level: str
    run_id: str
    stages: list[StageRun] = field(default_factory=list)
    summarised: bool = False

    def stage(
        self,
        stage: str,
        *,
        title: str,
        dataset: Catalog,
        config: Mapping[str, object],
        compute: Callable[[Recorder], None],
        inputs: Sequence[StageRun] = (),
        tags: Mapping[str, object] | None = None,
    ) -> StageRun:
        """Run a stage as a child run, or find the finished run with the same fingerprint.

        Parameters
        ----------
        stage, title
            Its kind, and the name its run gets.
        dataset
            What it is about.
        config
            Everything that decides the result beside the inputs and the code. Logged as params.
        compute
            Does the work: reads the inputs' folders, writes into the recorder's.
        inputs
            The stages whose outputs it reads.
        tags
            Further tags of the run.
        """
        fingerprint = fingerprint_of(stage, config, dataset, inputs, compute)
        work = self.root / ".cache" / "work" / fingerprint
        work.parent.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        # Whoever asks for the same work at the same time waits here, then finds it done.
        with FileLock(f"{work}.lock"):
            run = self._finished(stage, fingerprint)
            reused = run is not None
            if run is None:
                print(f"{stage:<10} {title}", flush=True)
                all_tags = {
                    "stage": stage,
                    "level": self.level,
                    "dataset": dataset.fingerprint,
                    "fingerprint": fingerprint,
                    "inputs": " ".join(run.run_id for run in inputs),
                    **(tags or {}),
                }
                run = self._compute(title, config, dataset, all_tags, compute, work)
            seconds = time.monotonic() - started
            finished = _stage_run(run, dataset, reused=reused, seconds=seconds)
        self.stages.append(finished)
        how = f"reused run {finished.run_id[:8]}" if reused else f"{finished.seconds:.1f} s"
        print(f"{stage:<10} {title}: {how}" if reused else f"{'':<10} done in {how}", flush=True)
        for line in finished.note.splitlines():
            print(f"{'':<10} {line}", flush=True)
        return finished

    def _compute(
        self,
        title: str,
        config: Mapping[str, object],
        dataset: Catalog,
        tags: Mapping[str, object],
        compute: Callable[[Recorder], None],
        work: Path,
    ) -> Run:
        work.mkdir(exist_ok=True)
        for left in work.rglob("*"):  # by a run that was killed: only its checkpoints are of use
            if left.is_file() and (left.name.startswith(".") or left.suffix != ".pth"):
                left.unlink()
        with _run(self.client, title, nested=True) as run_id:
            params = [Param(key, str(value)) for key, value in config.items()]
            run_tags = [RunTag(key, str(value)) for key, value in tags.items()]
            self.client.log_batch(run_id, params=params, tags=run_tags)
            mlflow.log_input(_mlflow_dataset(dataset), context=str(tags["stage"]))
            recorder = Recorder(self.client, run_id, work)
            try:
                compute(recorder)
            except Exception:  # computed again, it would fail again: there is nothing to keep
                shutil.rmtree(work)
                raise
            finally:
                recorder.flush()
            if recorder.note:
                recorder.tags({"mlflow.note.content": recorder.note})
            files = sorted(path for path in work.rglob("*") if path.is_file())
            sizes = {path.relative_to(work).as_posix(): path.stat().st_size for path in files}
            write_json(work / "manifest.json", sizes)
            mlflow.log_artifacts(str(work))
        shutil.rmtree(work)
        return self.client.get_run(run_id)

    def _finished(self, stage: str, fingerprint: str) -> Run | None:
        """The newest finished run with this fingerprint whose artifacts are all still there."""
        where = (
            f"tags.stage = '{stage}' and tags.fingerprint = '{fingerprint}' "
            "and attributes.status = 'FINISHED'"
        )
        runs = self.client.search_runs(
            _experiments(self.client), where, order_by=["attributes.start_time DESC"], max_results=1
        )
        return runs[0] if runs and _is_whole(runs[0]) else None

    def finished(self, run_id: str, dataset: Catalog) -> StageRun:
        """A stage's finished run of a dataset, by its id or the beginning of it.

        Raises
        ------
        InputError
            If there is no such run, or it is no stage's, not finished or about something else.
        """
        where = f"attributes.run_id LIKE '{run_id}%'" if run_id.isalnum() else ""
        runs = self.client.search_runs(_experiments(self.client), where) if where else []
        if len(runs) != 1:
            raise InputError(f"run {run_id!r}: {len(runs) or 'no'} such runs in the tracking store")
        (run,) = runs
        tags = run.data.tags
        if "stage" not in tags or run.info.status != "FINISHED" or not _is_whole(run):
            raise InputError(f"run {run_id!r}: not the finished run of a stage")
        if tags["dataset"] != dataset.fingerprint:
            raise InputError(f"run {run_id!r}: about another collection than {dataset.folder}")
        return _stage_run(run, dataset, reused=True, seconds=0)

    def inputs(self, stage: StageRun) -> list[StageRun]:
        """The finished stages that a stage has read."""
        ids = stage.tags.get("inputs", "").split()
        return [self.finished(run_id, stage.dataset) for run_id in ids]

    def scored(self, dataset: Catalog, run_ids: Sequence[str] = ()) -> list[dict[str, object]]:
        """Finished clustering runs of a dataset, from the tracking store, the newest first.

        Parameters
        ----------
        dataset
            The runs' dataset.
        run_ids
            Only these, where given.

        Returns
        -------
        list of dict
            Metrics as floats, and `ROW_TAGS`, ``seeds``, ``settings`` and ``run_id``.
        """
        where = (
            f"tags.stage = 'cluster' and tags.dataset = '{dataset.fingerprint}' "
            "and attributes.status = 'FINISHED'"
        )
        if run_ids:
            where += f" and attributes.run_id IN ({', '.join(map(repr, run_ids))})"
        runs = self.client.search_runs(
            _experiments(self.client), where, order_by=["attributes.start_time DESC"]
        )
        return [
            {
                **run.data.metrics,
                **{tag: run.data.tags.get(tag, "") for tag in ROW_TAGS},  # another version's lack
                "seeds": int(run.data.params["seeds"]),
                "settings": [run.data.params.get(name) for name in SETTINGS],
                "run_id": run.info.run_id,
            }
            for run in runs
        ]

    def summary(self, outcomes: Sequence[Outcome], *, listed: bool = True) -> None:
        """Put what a person looks for first on this run itself, since the UI folds its children:
        the best row's metrics, the tables and the figures; and, if `listed`, say where they are."""
        best: dict[str, float] = {}
        tags: dict[str, str] = {}
        files: list[Path] = []
        for table, figures in outcomes:
            data = self.client.get_run(table.run_id).data
            found = {k: v for k, v in data.metrics.items() if k.startswith("best/")}
            if _rank(found) > _rank(best):
                best = found
                tags |= {k: v for k, v in data.tags.items() if k.startswith("best/")}
            for stage in (table, *figures):
                files += sorted(p for name in SUMMARISED for p in stage.folder.glob(name))
            for stage in figures:
                tags |= {k: v for k, v in stage.tags.items() if k.startswith("verdict/")}
        recorder = Recorder(self.client, self.run_id, self.root)
        recorder.metrics(best)
        recorder.flush()
        note = ""
        for text in (file.read_text("utf-8") for file in files if file.suffix == ".md"):
            if len(note) + len(text) < MAX_TAG:  # a table cut in the middle helps nobody
                note += f"{text}\n"
        recorder.tags(tags | {"mlflow.note.content": note})
        for file in files:
            mlflow.log_artifact(str(file), run_id=self.run_id)
        folder = local_artifacts(self.client.get_run(self.run_id))
        reused = sum(stage.reused for stage in self.stages)
        self.summarised = True
        print(f"{self.level}: {len(self.stages)} stages, {reused} reused")
        for file in files if listed else ():
            print(f"  {folder / file.name}")

    def register(self, model: StageRun, tags: Mapping[str, object]) -> tuple[int, bool, str]:
        """Make a stage's model a version of `MODEL` in the registry, and its champion.

        Parameters
        ----------
        model
            A stage whose computation has called `Recorder.model`.
        tags
            Of the version.

        Returns
        -------
        version, new, before
            The version that the model has already is kept. `before` says what was champion.
        """
        client, before = self.client, ""
        try:
            client.create_registered_model(MODEL, description=MODEL_DESCRIPTION)
        except mlflow.MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        with contextlib.suppress(mlflow.MlflowException):  # there may be none
            old = client.get_model_version_by_alias(MODEL, CHAMPION)
            before = f"version {old.version}, {old.tags.get('method')} of {old.tags.get('dataset')}"
        known = client.search_model_versions(f"name = '{MODEL}' and run_id = '{model.run_id}'")
        new = not known
        version = (
            known[0]
            if known
            else client.create_model_version(MODEL, model.tags["model_uri"], model.run_id)
        )
        for key, value in tags.items():
            client.set_model_version_tag(MODEL, version.version, key, str(value))
        client.set_registered_model_alias(MODEL, CHAMPION, version.version)
        same = before.startswith(f"version {version.version},")
        return int(version.version), new, "" if same else before

    @contextlib.contextmanager
    def group(self, level: str) -> Iterator[Tracker]:
        """A level as a child run of its own, under which its stages run."""
        with _run(self.client, level, nested=True) as run_id:
            tracker = Tracker(self.root, self.client, level, run_id)
            yield tracker
        self.stages += tracker.stages


def _stage_run(run: Run, dataset: Catalog, *, reused: bool, seconds: float) -> StageRun:
    tags = run.data.tags
    return StageRun(
        tags["stage"],
        tags["mlflow.runName"],
        run.info.run_id,
        tags["fingerprint"],
        dataset,
        local_artifacts(run),
        tags,
        reused,
        seconds,
    )


@contextlib.contextmanager
def invocation(entry_point: str, options: Mapping[str, object]) -> Iterator[Tracker]:
    """The run of one entry point: opened in the store, closed with the right status.

    Under ``mlflow run`` it is the run that command has made; otherwise a new one. It ends FINISHED,
    FAILED for any error, and KILLED for SIGTERM and Ctrl-C.

    Parameters
    ----------
    entry_point
        Its name, also the level of the stages that it runs.
    options
        The resolved options, logged where ``mlflow run`` has not logged the raw ones already.
    """
    root = project_root()
    client = open_store(root)
    with _sigterm_raises(), _run(client, entry_point, nested=False) as run_id:
        logged = client.get_run(run_id).data.params
        params = [Param(k, str(v)) for k, v in options.items() if k not in logged]
        client.log_batch(run_id, params=params, tags=[RunTag("entry_point", entry_point)])
        client.log_dict(run_id, dict(options), "options.json")
        client.log_dict(run_id, environment(), "environment.json")
        started = time.monotonic()
        tracker = Tracker(root, client, entry_point, run_id)
        yield tracker
        if tracker.stages and not tracker.summarised:  # a single stage, after what it needed
            tracker.summary([(tracker.stages[-1], [])])
            print(f"  {tracker.stages[-1].folder}")
        print(f"{entry_point}: run {run_id} finished in {time.monotonic() - started:.1f} s")
        uri = mlflow.get_tracking_uri()
        if uri.startswith("sqlite:"):  # of another store its owner knows the address
            print(f"look at it with: mlflow ui --backend-store-uri {shlex.quote(uri)}")


def open_store(root: Path) -> MlflowClient:
    """The tracking store: MLFLOW_TRACKING_URI where set, else ``<root>/mlflow.db``.

    Its tables are created once, under a lock: two first writers break them. Runs of this host
    whose process is gone are marked KILLED.
    """
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it tells of tables
    lock = root / ".cache" / "store.lock"
    lock.parent.mkdir(exist_ok=True)
    with FileLock(lock), contextlib.chdir(root):  # ./mlruns is taken from the working folder
        os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'mlflow.db'}")
        try:
            client = MlflowClient()
            _mark_dead_runs(client)
        except mlflow.MlflowException as error:
            where = os.environ["MLFLOW_TRACKING_URI"]
            raise InputError(f"the tracking store {where} cannot be opened: {error}") from error
    return client


def project_root() -> Path:
    """The folder of MLproject; where the package was installed without it, the working folder."""
    return PACKAGE.parent if (PACKAGE.parent / "MLproject").exists() else Path.cwd()


def environment() -> dict[str, object]:
    """What the numbers were computed with."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        **{name: _version(name) for name in RECORDED},
    }


def load_model(uri: str) -> PyFuncModel:
    """A registered or logged model; InputError where there is none."""
    try:
        model: PyFuncModel = mlflow.pyfunc.load_model(uri)
    except mlflow.MlflowException as error:
        raise InputError(f"model {uri}: cannot be loaded: {error}") from error
    return model


@cache
def _version(name: str) -> str:
    return importlib.metadata.version(name)


def fingerprint_of(
    stage: str,
    config: Mapping[str, object],
    dataset: Catalog,
    inputs: Sequence[StageRun],
    compute: Callable[[Recorder], None],
) -> str:
    """A hash of all that decides a stage's result: config (seeds included), data, inputs, the
    source of `compute`'s module and of what it imports here, and the libraries' versions."""
    file = inspect.getsourcefile(compute)
    assert file is not None, "a stage's computation is defined in a file"
    parts = {
        "stage": stage,
        "config": {key: str(value) for key, value in config.items()},
        "dataset": [dataset.fingerprint, dataset.name],  # figures and titles show the name
        "inputs": [run.fingerprint for run in inputs],
        "source": source_digest(Path(file)),
        "versions": {name: _version(name) for name in VERSIONED},
    }
    return _digest(json.dumps(parts, sort_keys=True))


@cache
def source_digest(file: Path) -> str:
    """A hash of a module and of every genre_vae module that it imports, directly or not.

    This module does not count: it records results and does not make them.
    """
    seen: dict[Path, str] = {}
    waiting = [file.resolve()]
    while waiting:
        module = waiting.pop()
        if module in seen or module == Path(__file__).resolve():
            continue
        seen[module] = module.read_text("utf-8")
        waiting += [
            path
            for name in imported_modules(seen[module])
            if (path := PACKAGE.parent / f"{name.replace('.', '/')}.py").exists()
        ]
    return _digest("\n".join(seen[module] for module in sorted(seen)))


@cache
def imported_modules(source: str) -> frozenset[str]:
    """Dotted names of what a source imports from this package anywhere."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("genre_vae"):
            found |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("genre_vae.")}
    return frozenset(found)


def local_artifacts(run: Run) -> Path:
    """A local folder with a run's artifacts; downloaded where the store is not on this disk."""
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=run.info.artifact_uri))


def _rank(best: Mapping[str, float]) -> tuple[float, ...]:
    """Orders the best rows of levels as a table orders its rows."""
    return tuple(best.get(f"best/{metric}", float("-inf")) for metric in RANKED_BY)


def _is_whole(run: Run) -> bool:
    try:
        folder = local_artifacts(run)
        manifest: dict[str, int] = json.loads((folder / "manifest.json").read_text("utf-8"))
        if "model_uri" in run.data.tags:  # it lies beside the run's own files
            mlflow.models.get_model_info(run.data.tags["model_uri"])
    except (OSError, json.JSONDecodeError, mlflow.MlflowException):
        return False
    files = {folder / name: size for name, size in manifest.items()}
    return all(file.is_file() and file.stat().st_size == size for file, size in files.items())


def _experiments(client: MlflowClient) -> list[str]:
    """Work is reused wherever it was filed, so every experiment is searched."""
    return [experiment.experiment_id for experiment in client.search_experiments()]


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


@contextlib.contextmanager
def _run(client: MlflowClient, name: str, *, nested: bool) -> Iterator[str]:
    """A run with the process's identity on it, ended with the status that fits."""
    run_id = mlflow.start_run(run_name=name, nested=nested).info.run_id
    tags = [RunTag(key, value) for key, value in (_identity() | {"mlflow.runName": name}).items()]
    client.log_batch(run_id, tags=tags)
    status = RunStatus.FAILED
    try:
        yield run_id
        status = RunStatus.FINISHED
    except (KeyboardInterrupt, Terminated):
        status = RunStatus.KILLED
        raise
    finally:
        mlflow.end_run(RunStatus.to_string(status))


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    def handler(signum: int, frame: FrameType | None) -> None:
        raise Terminated

    previous = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _identity() -> dict[str, str]:
    """Host, boot and process: a process id alone comes again."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    process = psutil.Process()
    return {
        "host": socket.gethostname(),
        "boot": boot.read_text().strip() if boot.exists() else str(int(psutil.boot_time())),
        "pid": str(process.pid),
        "process_started": f"{process.create_time():.2f}",
    }


def _mark_dead_runs(client: MlflowClient) -> None:
    here = _identity()
    where = f"tags.host = '{here['host']}' and attributes.status = 'RUNNING'"
    for run in client.search_runs(_experiments(client), where):
        tags = run.data.tags
        process = tags.get("pid", ""), tags.get("process_started", "")
        alive = tags.get("boot") == here["boot"] and _is_alive(*process)
        if not alive:
            client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))


def _is_alive(pid: str, started: str) -> bool:
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" == started
    except (psutil.Error, ValueError):
        return False


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
