"""The best row that no label touched -> a registered model that takes audio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from entrypoints.cluster import assignment_of
from entrypoints.embed import musicnn_weights, words_of
from entrypoints.features import catalog_of
from entrypoints.options import DATA, Options, entry_point
from genre_vae.evaluation import comparison
from genre_vae.evaluation.metrics import INTERNAL
from genre_vae.records import FeatureSet, InputError, LabelUse

if TYPE_CHECKING:
    from genre_vae.collection.catalog import Catalog
    from genre_vae.tracking import Recorder, StageRun, Tracker


def register(
    tracker: Tracker, options: Options, dataset: Catalog, rows: Sequence[Mapping[str, object]]
) -> StageRun:
    """Log the best row's model, as a stage, and make it the registry's champion.

    Parameters
    ----------
    dataset
        The collection.
    rows
        Scored clusterings of it, from `Tracker.scored`; the best by ``--metric`` is taken.
    """
    from genre_vae.tracking import PACKAGE, source_digest

    row, passed, metric = comparison.champion(rows, metric=options.metric)
    if metric in INTERNAL and len(rows) > 1:
        print(
            f"{'register':<10} chosen by {metric}, which compares clusterings of one "
            "representation: across methods it is a weak guide",
            flush=True,
        )
    for reason in passed:
        print(f"{'register':<10} {reason}", flush=True)
    clustering = tracker.finished(str(row["run_id"]), dataset)
    (embedding,) = tracker.inputs(clustering)
    method = str(row["method"])
    seen = tracker.inputs(embedding)[0]
    pretrained = embedding.tags["reads"] == "musicnn"
    weights = musicnn_weights(tracker, options) if pretrained else None

    def compute(record: Recorder) -> None:
        from genre_vae.features import musicnn
        from genre_vae.serving import requests
        from genre_vae.serving.index import ClusterIndex, load_encoder

        assignment = assignment_of(clustering)
        placement = ClusterIndex(
            load_encoder(embedding.folder),
            embedding.tags["reads"],
            FeatureSet.load(embedding.folder, embedding.tags["output"]),
            assignment.clusters[0],
            method,
            tagger=musicnn.load(weights) if weights else None,
            tags=words_of(seen, assignment) if weights else (),
        )
        placement.save(record.folder / "placement")
        record.model(record.folder / "placement", requests.example())
        record.note = f"{method}, seed {options.seed}"

    model = tracker.stage(
        "model",
        title=f"{method} of {dataset.name}",
        dataset=dataset,
        config={"run": clustering.run_id, "code": source_digest(PACKAGE / "serving" / "pyfunc.py")},
        inputs=[clustering, embedding],
        compute=compute,
    )
    version, new, before = tracker.register(
        model,
        {
            "method": method,
            "dataset": dataset.name,
            "dataset_fingerprint": dataset.fingerprint,
            "fingerprint": model.fingerprint,
            "chosen_by": metric if len(rows) > 1 else "given",
            "label_use": row["label_use"],
            **comparison.scores(row),
        },
    )
    how = "registered as" if new else "is already"
    instead = f" instead of {before}" if before else ""
    print(
        f"{'register':<10} {method} {how} genre-vae version {version}, champion{instead}",
        flush=True,
    )
    return model


@entry_point(*DATA, "run", "metric", "musicnn_wheel", "workers")
def main(tracker: Tracker, options: Options) -> None:
    """Register the best label-free row of the Hard level, or the clustering run that is given.

    A row that labels touched is refused: a new track's genre is what nobody knows.
    """
    dataset = catalog_of(options, tracker.root)
    rows: Sequence[Mapping[str, object]]
    if options.run == "auto":
        rows = comparison.newest(tracker.scored(dataset), level="hard")
        if not rows:
            raise InputError(
                f"no finished hard clustering of {dataset.folder} in the tracking store: "
                "run the entry point hard first"
            )
    else:
        rows = tracker.scored(dataset, [tracker.finished(options.run, dataset).run_id])
        if not rows:
            raise InputError(f"run {options.run}: clusters nothing; those of cluster do")
        use = rows[0]["label_use"]
        if use != str(LabelUse.NONE):
            raise InputError(
                f"{rows[0]['method']} is an oracle (label use {use}): it cannot be registered, "
                "since the genre of a new track is not known"
            )
    register(tracker, options, dataset, rows)


if __name__ == "__main__":
    main()
