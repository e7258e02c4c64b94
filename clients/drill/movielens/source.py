"""MovieLens-100K with its knowledge graph, read straight out of a published wheel.

The data is collected by GroupLens and linked to Freebase by KB4Rec; the wheel `recbole==1.2.1`
carries it as an example. GroupLens' terms forbid redistribution: nothing here is committed,
shipped or copied out of the local cache, and neither may be what is derived from it.

F. M. Harper, J. A. Konstan: "The MovieLens Datasets: History and Context", TiiS 5(4), 2015.
"""

import csv
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clients.drill.errors import DataDigestError, DataUnavailableError

REQUIREMENT = "recbole==1.2.1"
WHEEL = "recbole-1.2.1-py3-none-any.whl"
SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
MEMBER = "recbole/dataset_example/ml-100k/ml-100k.{}"
DOWNLOAD_SECONDS = 300


@dataclass(frozen=True)
class Events:
    """Ratings in the order of time (ties: by user, then by item); int64 [N] each."""

    user: npt.NDArray[np.int64]
    item: npt.NDArray[np.int64]
    rating: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.user)

    def first(self, rows: int) -> "Events":
        """The timeline as it stood after its first `rows` events."""
        return Events(self.user[:rows], self.item[:rows], self.rating[:rows], self.seconds[:rows])


@dataclass(frozen=True)
class User:
    """One line of the users file."""

    user: int
    age: int
    gender: str
    occupation: str
    zip_code: str


@dataclass(frozen=True)
class Movie:
    """One line of the items file; `year` is None where the file has none."""

    item: int
    title: str
    year: int | None
    genres: tuple[str, ...]


@dataclass(frozen=True)
class MovieLens:
    """The whole data set. `knowledge[relation][item]` lists Freebase entities in file order."""

    events: Events
    users: tuple[User, ...]
    movies: tuple[Movie, ...]
    knowledge: Mapping[str, Mapping[int, tuple[str, ...]]]


def default_cache() -> Path:
    """`cache` under `$AFTERSHOCK_DATA_DIR`, or under `.aftershock` in the working directory."""
    return Path(os.environ.get("AFTERSHOCK_DATA_DIR") or ".aftershock").absolute() / "cache"


def load_movielens(cache: Path) -> MovieLens:
    """Reads the data set, after downloading its wheel into `cache` if it is not there yet."""
    with zipfile.ZipFile(fetch_wheel(cache)) as wheel:
        return MovieLens(
            events=_events(wheel),
            users=tuple(_users(wheel)),
            movies=tuple(_movies(wheel)),
            knowledge=_knowledge(wheel),
        )


def fetch_wheel(cache: Path) -> Path:
    """The path of the verified wheel in `cache`; concurrent callers may both download it."""
    path = cache / WHEEL
    if path.exists():
        _verify(path)
        return path
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".download-") as folder:
        downloaded = _download(Path(folder))
        _verify(downloaded)
        downloaded.replace(path)
    return path


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    command += ["--disable-pip-version-check", "--dest", str(folder), REQUIREMENT]
    try:
        subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS
        )
    except subprocess.CalledProcessError as error:
        raise DataUnavailableError(_advice(folder, error.stderr.strip())) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataUnavailableError(_advice(folder, str(error))) from error
    path = folder / WHEEL
    if not path.exists():
        raise DataUnavailableError(_advice(folder, f"pip did not leave a file {WHEEL}"))
    return path


def _advice(folder: Path, reason: str) -> str:
    return (
        f"cannot download {REQUIREMENT}, which carries MovieLens-100K: {reason}. "
        f"Connect to a package index, or put {WHEEL} into {folder.parent} yourself."
    )


def _verify(path: Path) -> None:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256:
        raise DataDigestError(
            f"{path} has sha256 {digest}, expected {SHA256}: delete it and try again"
        )


def _rows(wheel: zipfile.ZipFile, suffix: str) -> Iterator[list[str]]:
    with wheel.open(MEMBER.format(suffix)) as member:
        text = io.TextIOWrapper(member, encoding="utf-8", newline="")
        rows = csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(rows)
        yield from rows


def _events(wheel: zipfile.ZipFile) -> Events:
    table = np.array([[int(cell) for cell in row] for row in _rows(wheel, "inter")], np.int64)
    user, item, rating, seconds = table.T
    order = np.lexsort((item, user, seconds))
    return Events(user[order], item[order], rating[order], seconds[order])


def _users(wheel: zipfile.ZipFile) -> Iterator[User]:
    for user, age, gender, occupation, zip_code in _rows(wheel, "user"):
        yield User(int(user), int(age), gender, occupation, zip_code)


def _movies(wheel: zipfile.ZipFile) -> Iterator[Movie]:
    for item, title, year, genres in _rows(wheel, "item"):
        known = tuple(genre for genre in genres.split() if genre != "unknown")
        yield Movie(int(item), title, int(year) if year.isdigit() else None, known)


def _knowledge(wheel: zipfile.ZipFile) -> dict[str, dict[int, tuple[str, ...]]]:
    items = {entity: int(item) for item, entity in _rows(wheel, "link")}
    found: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for head, relation, tail in _rows(wheel, "kg"):
        if head in items:
            found[relation][items[head]].append(tail)
    return {
        relation: {item: tuple(dict.fromkeys(tails)) for item, tails in by_item.items()}
        for relation, by_item in found.items()
    }
