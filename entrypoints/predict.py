"""Audio files -> their places among a registered model's clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.cli import entry_point
from genre_vae.config import Given
from genre_vae.options import group

if TYPE_CHECKING:
    from genre_vae.tracking.run import Run


@entry_point("predict", *group("predict"))
def main(run: Run, given: Given) -> None:
    """Place an audio file, or a folder of them, among the clusters of a registered model.

    Prints a table; the whole answer, codes included, goes to a CSV or JSON file.
    """
    from genre_vae.report.markdown import placed_markdown
    from genre_vae.stages.predict import check_output, predict, write

    output = check_output(given)
    records = predict(given)
    print(f"\n{placed_markdown(records)}")
    write(records, output)


if __name__ == "__main__":
    main()
