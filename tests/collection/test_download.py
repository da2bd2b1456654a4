from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.serving import free_port
from genre_vae.collection import download as downloads
from genre_vae.collection.catalog import scan
from genre_vae.collection.download import DATASETS, Archive, Dataset, download
from genre_vae.records import InputError
from tests.collection.publisher import Publisher, publishing, tarred, zipped
from tests.collection.test_unpacking import tree
from tests.helpers import ROOT, invoke

SOUND = random.Random(0).randbytes(400_000)  # does not compress
SONGS = {"genres/rock/a.wav": SOUND, "genres/jazz/b.wav": SOUND[::-1]}
TABLE = {"fma_metadata/tracks.csv": b"track_id,genre\n"}
TAR, ZIP = "/songs.tar.gz", "/some/tables.zip"


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    monkeypatch.setattr(downloads, "PAUSE", 0.01)
    monkeypatch.setenv("no_proxy", "*")
    with publishing({TAR: tarred(SONGS), ZIP: zipped(TABLE)}) as one:
        yield one


def left(folder: Path) -> set[str]:
    """What a download has left beside its result."""
    return {path.name for path in folder.iterdir()} - {".songs.lock"}


def size(publisher: Publisher) -> int:
    return len(publisher.files[TAR])


@pytest.mark.parametrize("sized", [True, False])
def test_a_collection_comes_whole_and_only_once(
    tmp_path: Path, publisher: Publisher, sized: bool
) -> None:
    publisher.sized = sized
    table = publisher.dataset(TAR, ZIP)
    assert download("songs", tmp_path / "data", datasets=table)
    assert tree(tmp_path / "data" / "songs") == SONGS | TABLE
    assert left(tmp_path / "data") == {"songs"}, "the archives are gone"
    assert [asked[:2] for asked in publisher.asked] == [(TAR, None), (ZIP, None)]
    assert not download("songs", tmp_path / "data", datasets=table)
    assert len(publisher.asked) == 2, "nothing is fetched again"
    assert set(scan(tmp_path / "data" / "songs").tracks["genre"]) == {"rock", "jazz"}


@pytest.mark.parametrize("validators", [True, False])
@pytest.mark.parametrize("sized", [True, False])
def test_what_was_cut_off_is_continued_and_only_the_rest_is_sent(
    tmp_path: Path, publisher: Publisher, validators: bool, sized: bool
) -> None:
    publisher.validators, publisher.sized = validators, sized
    publisher.cuts = [65536 * 5, 65536 * 4]
    assert download("songs", tmp_path, datasets=publisher.dataset(TAR))
    assert publisher.ranges_asked == [None, f"bytes={65536 * 5}-", f"bytes={65536 * 9}-"]
    assert sum(sent for *_, sent in publisher.asked) == size(publisher), "no byte came twice"
    assert tree(tmp_path / "songs") == SONGS


def test_a_server_that_always_breaks_off_gets_one_line_and_what_came_is_kept(
    tmp_path: Path, publisher: Publisher
) -> None:
    table = publisher.dataset(TAR)
    publisher.cuts = [100_000, 0, 0, 0, 0, 0, 0, 0]
    with pytest.raises(InputError, match="the connection ended after 100,000 of ") as refused:
        download("songs", tmp_path, datasets=table)
    assert "the same command goes on from there; or get it by hand from http://page" in str(
        refused.value
    )
    assert f"so that {tmp_path / 'songs'} has genres/rock" in str(refused.value)
    assert len(publisher.asked) <= downloads.TRIES + 1
    assert not (tmp_path / "songs").exists()
    publisher.cuts, publisher.asked = [], []
    assert download("songs", tmp_path, datasets=table)
    assert publisher.asked == [(TAR, "bytes=100000-", size(publisher) - 100_000)]


@pytest.mark.parametrize("cuts", [[], [200_000]])
def test_a_server_without_ranges_begins_anew(
    tmp_path: Path, publisher: Publisher, cuts: list[int]
) -> None:
    publisher.ranges, publisher.cuts = False, list(cuts)
    assert download("songs", tmp_path, datasets=publisher.dataset(TAR))
    assert len(publisher.asked) == 1 + len(cuts)
    assert tree(tmp_path / "songs") == SONGS


def test_a_server_that_sends_another_range_is_not_believed(
    tmp_path: Path, publisher: Publisher
) -> None:
    publisher.restarts, publisher.cuts = True, [200_000]
    assert download("songs", tmp_path, datasets=publisher.dataset(TAR))
    assert publisher.ranges_asked == [None, "bytes=200000-", None]
    assert tree(tmp_path / "songs") == SONGS


def test_a_part_is_only_continued_from_its_own_address(
    tmp_path: Path, publisher: Publisher
) -> None:
    publisher.cuts = [200_000, 0, 0, 0]
    with pytest.raises(InputError):
        download("songs", tmp_path, datasets=publisher.dataset(TAR))
    publisher.files[f"/moved{TAR}"] = publisher.files[TAR]
    publisher.cuts, publisher.asked = [], []
    assert download("songs", tmp_path, datasets=publisher.dataset(f"/moved{TAR}"))
    assert publisher.ranges_asked == [None]


def test_one_killed_after_the_last_byte_has_nothing_more_to_ask_for(
    tmp_path: Path, publisher: Publisher
) -> None:
    publisher.cuts = [size(publisher) - 1, 0, 0, 0]
    with pytest.raises(InputError):
        download("songs", tmp_path, datasets=publisher.dataset(TAR))
    with (tmp_path / ".songs.download" / "songs.tar.gz.part").open("ab") as part:
        part.write(publisher.files[TAR][-1:])
    publisher.asked = []
    assert download("songs", tmp_path, datasets=publisher.dataset(TAR))
    assert not publisher.asked


@pytest.mark.parametrize("validators", [True, False])
@pytest.mark.parametrize("shorter", [True, False])
def test_a_file_that_changed_in_between_begins_anew(
    tmp_path: Path, publisher: Publisher, validators: bool, shorter: bool
) -> None:
    publisher.validators = validators
    publisher.cuts = [500_000, 0, 0, 0]
    with pytest.raises(InputError):
        download("songs", tmp_path, datasets=publisher.dataset(TAR))
    later = {"genres/rock/a.wav": SOUND[: 10**5 if shorter else -1], "genres/pop/c.wav": SOUND[5:]}
    if shorter:
        del later["genres/pop/c.wav"]
    publisher.files[TAR], publisher.cuts = tarred(later), []
    assert download("songs", tmp_path, datasets=publisher.dataset(TAR))
    assert tree(tmp_path / "songs") == later


def test_another_file_than_was_published_is_deleted(tmp_path: Path, publisher: Publisher) -> None:
    table = publisher.dataset(TAR)
    good = publisher.files[TAR]
    publisher.files[TAR] = good[:-20] + bytes(20)
    with pytest.raises(InputError, match=r"another file than was published \(md5 .*, and is dele"):
        download("songs", tmp_path, datasets=table)
    assert not list(tmp_path.rglob("*.part"))
    assert not (tmp_path / "songs").exists()
    publisher.files[TAR] = good
    assert download("songs", tmp_path, datasets=table)


def test_a_checksum_is_read_from_the_pointer_that_git_lfs_keeps(
    tmp_path: Path, publisher: Publisher
) -> None:
    digest = hashlib.sha256(publisher.files[TAR]).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize 5\n"
    archive = Archive(f"{publisher.address}{TAR}", f"{publisher.address}/pointer")
    table = {"songs": Dataset((archive,), 10**7, "genres/rock", "a page")}
    publisher.files["/pointer"] = b"<html>sign in</html>"
    with pytest.raises(InputError, match="states no checksum as Git LFS does: '<html>"):
        download("songs", tmp_path, datasets=table)
    publisher.files["/pointer"] = pointer.replace(digest[:4], "0000").encode()
    with pytest.raises(InputError, match="another file than was published"):
        download("songs", tmp_path, datasets=table)
    publisher.files["/pointer"] = pointer.encode()
    assert download("songs", tmp_path, datasets=table)


@pytest.mark.parametrize(
    ("status", "said"), [(404, "404 Not Found"), (503, "503 Service Unav"), (403, "403 Forbidden")]
)
def test_a_server_that_refuses_is_quoted(
    tmp_path: Path, publisher: Publisher, status: int, said: str
) -> None:
    publisher.status = status
    with pytest.raises(InputError, match=f"the server answers {said}") as refused:
        download("songs", tmp_path, datasets=publisher.dataset(TAR))
    assert "goes on from there" not in str(refused.value), "nothing has come"
    assert left(tmp_path) == {".songs.download"}


def test_an_archive_that_is_refused_leaves_nothing(tmp_path: Path, publisher: Publisher) -> None:
    publisher.files[TAR] = tarred({"genres/rock/a.wav": SOUND, "../../escaped": b"1"})
    with pytest.raises(InputError, match="would lie outside the folder"):
        download("songs", tmp_path / "data", datasets=publisher.dataset(TAR))
    assert not (tmp_path / "data" / "songs").exists()
    assert not list(tmp_path.rglob("escaped"))
    publisher.files[TAR] = tarred(SONGS)
    assert download("songs", tmp_path / "data", datasets=publisher.dataset(TAR))
    assert tree(tmp_path / "data" / "songs") == SONGS, "nothing of the refused one"


@pytest.mark.parametrize("sized", [True, False])
def test_more_than_a_collection_can_have_is_refused(
    tmp_path: Path, publisher: Publisher, sized: bool
) -> None:
    publisher.sized = sized
    with pytest.raises(InputError, match="has more than 300,000 bytes, and cannot be right"):
        download("songs", tmp_path, datasets=publisher.dataset(TAR, most=300_000))
    publisher.files[TAR] = tarred({"a": bytes(2_000_000)})
    with pytest.raises(InputError, match="unpacks to more than 900,000 bytes"):
        download("songs", tmp_path, datasets=publisher.dataset(TAR, most=900_000))
    assert not list(tmp_path.rglob("*.part"))


def test_without_a_network_there_is_one_line_with_what_to_do(
    new_store: Path, runner: CliRunner, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}/fma_small.zip"
    fma = replace(DATASETS["fma_small"], archives=(Archive(nobody, "md5:0"),))
    monkeypatch.setattr(download, "__kwdefaults__", {"datasets": {"fma_small": fma}})
    result = invoke(runner, "download", "--dataset", "fma_small")
    assert result.exit_code == 2
    assert result.output == (
        f"Error: {nobody}: cannot be reached: Connection refused; or get it by hand from "
        f"https://github.com/mdeff/fma, and unpack it so that {new_store / 'data' / 'fma_small'} "
        "has 000/000002.mp3 and fma_metadata/tracks.csv\n"
    )
    assert not (new_store / "data" / "fma_small").exists()


def test_the_entry_point_says_what_to_run_next_and_opens_no_run(
    new_store: Path, runner: CliRunner, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {"gtzan_mini": publisher.dataset(TAR)["songs"]}
    monkeypatch.setattr(download, "__kwdefaults__", {"datasets": table})
    monkeypatch.chdir(new_store)
    for word in ("now", "already"):
        result = invoke(runner, "download", "--dataset", "gtzan_mini")
        assert result.exit_code == 0, result.output
        first, last = result.output.splitlines()
        assert first == f"data       gtzan_mini is {word} in {new_store / 'data' / 'gtzan_mini'}"
        assert last == "next: mlflow run . -e hard -P data=data/gtzan_mini"
    assert not (new_store / "mlflow.db").exists()
    assert invoke(runner, "download", "--dataset", "mnist").exit_code == 2


DOWNLOADER = """
import sys
from pathlib import Path
from genre_vae.collection.download import Archive, Dataset, download
from genre_vae.records import InputError
import resource
url, checksum, folder, limit = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
table = {"songs": Dataset((Archive(url, checksum),), 10**8, "genres/rock", "a page")}
try:
    print(download("songs", Path(folder), datasets=table))
except InputError as error:
    print("refused:", error)
"""


def downloader(publisher: Publisher, folder: Path, *, limit: int = 0) -> subprocess.Popen[str]:
    words = [f"{publisher.address}{TAR}", publisher.checksum(TAR), str(folder), str(limit)]
    return subprocess.Popen(
        [sys.executable, "-c", DOWNLOADER, *words], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


def test_a_killed_download_leaves_nothing_that_looks_finished_and_is_continued(
    tmp_path: Path, publisher: Publisher
) -> None:
    publisher.files[TAR] = tarred(
        {f"genres/rock/{n}.wav": random.Random(n).randbytes(10**6) for n in range(6)}
    )
    publisher.pause = 0.01
    process = downloader(publisher, tmp_path)
    part = tmp_path / ".songs.download" / "songs.tar.gz.part"
    deadline = time.monotonic() + 30
    while not part.exists() or part.stat().st_size < 2 * 10**6:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    assert process.communicate()[0] == ""
    assert process.returncode == -signal.SIGKILL
    came = part.stat().st_size
    assert came < size(publisher)
    assert left(tmp_path) == {".songs.download"}
    publisher.pause, publisher.asked = 0.0, []
    assert download("songs", tmp_path, datasets=publisher.dataset(TAR))
    assert publisher.asked == [(TAR, f"bytes={came}-", size(publisher) - came)]
    assert len(tree(tmp_path / "songs")) == 6


def test_one_killed_while_it_unpacks_is_continued_without_the_network(
    tmp_path: Path, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*args: object, **kwargs: object) -> int:
        raise KeyboardInterrupt

    table = publisher.dataset(TAR)
    with monkeypatch.context() as patched:
        patched.setattr(downloads, "unpack", killed)
        with pytest.raises(KeyboardInterrupt):
            download("songs", tmp_path, datasets=table)
    (tmp_path / ".songs.download" / "unpacked" / "genres").mkdir(parents=True)
    (tmp_path / ".songs.download" / "unpacked" / "genres" / "half.wav").write_bytes(b"half")
    publisher.asked = []
    assert download("songs", tmp_path, datasets=table)
    assert not publisher.asked
    assert tree(tmp_path / "songs") == SONGS
    assert left(tmp_path) == {"songs"}


def test_of_two_at_once_one_fetches(
    tmp_path: Path, publisher: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    publisher.pause = 0.02
    table = publisher.dataset(TAR)
    results: list[bool] = []
    threads = [
        threading.Thread(target=lambda: results.append(download("songs", tmp_path, datasets=table)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False, True]
    assert len(publisher.asked) == 1
    assert capsys.readouterr().out.count("another download of it is at work") == 1


def test_a_full_disk_gets_one_line_and_what_came_is_continued(
    tmp_path: Path, publisher: Publisher
) -> None:
    """A bound on the size of files stands for the disk."""
    process = downloader(publisher, tmp_path, limit=300_000)
    said = process.communicate(timeout=30)[0]
    assert said == f"refused: {tmp_path}: File too large\n"
    publisher.asked = []
    assert downloader(publisher, tmp_path).communicate(timeout=30)[0] == "True\n"
    assert publisher.asked == [(TAR, "bytes=300000-", size(publisher) - 300_000)]


def test_a_place_that_cannot_be_written_gets_one_line(tmp_path: Path, publisher: Publisher) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: File exists"):
        download("songs", tmp_path / "file", datasets=publisher.dataset(TAR))
    (tmp_path / "songs").write_text("a file of that name")
    with pytest.raises(InputError, match="Not a directory"):
        download("songs", tmp_path, datasets=publisher.dataset(TAR))
    assert (tmp_path / "songs").read_text() == "a file of that name"


def test_an_empty_folder_is_no_collection(tmp_path: Path, publisher: Publisher) -> None:
    (tmp_path / "songs").mkdir()
    assert download("songs", tmp_path, datasets=publisher.dataset(TAR))
    assert tree(tmp_path / "songs") == SONGS


def test_the_published_checksums_are_of_known_kinds() -> None:
    lengths = {"md5": 32, "sha1": 40}
    for dataset in DATASETS.values():
        for archive in dataset.archives:
            assert archive.url.startswith("https://")
            assert archive.name.endswith((".zip", ".tar.gz"))
            kind, _, digest = archive.checksum.partition(":")
            assert kind == "https" or len(digest) == lengths[kind]
