"""A public collection -> a folder of audio."""

from __future__ import annotations

import shlex

from entrypoints.cli import entry_point_without_run
from genre_vae.config import Given
from genre_vae.options import group


@entry_point_without_run("download", *group("dataset"))
def main(given: Given) -> None:
    """Fetch a public collection into data/<its name>, where it is not there yet.

    A download that was cut off is continued. The data are their publishers': see their terms.
    """
    from genre_vae.collection.download import download
    from genre_vae.tracking.store import project_root

    root = project_root()
    folder = root / "data" / given.dataset
    came = download(given.dataset, folder.parent)
    near = folder.relative_to(root) if given.typed_in == root else folder
    print(f"{'data':<10} {given.dataset} is {'now' if came else 'already'} in {folder}")
    print(f"next: mlflow run . -e hard -P data={shlex.quote(str(near))}")


if __name__ == "__main__":
    main()
