"""The built-in worlds as something to drill."""

from datetime import UTC, datetime
from pathlib import Path

from torch import Tensor

from clients.drill.ads.learning import Learner
from clients.drill.ads.population import HOURS_A_DAY, AdsSettings
from clients.drill.ads.world import USER, AdsWorld
from clients.drill.export import Release, export_checkpoint
from clients.drill.movielens.world import World, load_world
from clients.drill.plain_model import PlainClickModel
from clients.drill.progress import Progressing
from clients.drill.schema import Schema
from clients.drill.subject import Slice, Subject
from clients.drill.training import train_model

ADS_WARM_UP_DAYS = 2
MOVIELENS_KEY = "item_id"


def ads_subject(
    settings: AdsSettings, windows: int, folder: Path, *, normalised: bool, progress: Progressing
) -> Subject:
    """Hours of the ads world after its model has learnt for three days; the last is by itself.

    What is displayed is chosen by the model, and one checkpoint scores all windows.
    """
    world = AdsWorld(settings)
    progress("learning", 0.0)
    learner = Learner.warmed_up(world, ADS_WARM_UP_DAYS * HOURS_A_DAY, normalised)
    for hour in learner.live(HOURS_A_DAY):
        progress("learning", (hour.number % HOURS_A_DAY + 1) / HOURS_A_DAY)
    checkpoint = learner.export(folder / "checkpoint")
    slices = []
    for hour in learner.live(windows, learns=False):
        slices.append(Slice(hour.examples, hour.displayed))
        progress("playing", len(slices) / windows)
    return Subject("ads", checkpoint, slices, key=USER)


def movielens_subject(
    cache: Path, rows: int, windows: int, folder: Path, *, seed: int = 0, progress: Progressing
) -> Subject:
    """The first windows after training, of `rows` engagements each; a model that nobody tuned."""
    cache.mkdir(parents=True, exist_ok=True)
    world = load_world(cache, progress)
    checkpoint = movielens_checkpoint(world, folder / "checkpoint", seed=seed, progress=progress)
    count = min(windows, (len(world) - world.train_rows) // rows)
    starts = range(world.train_rows, world.train_rows + count * rows, rows)
    slices = [Slice(world.examples.slice(start, rows)) for start in starts]
    return Subject("movielens", checkpoint, slices, key=MOVIELENS_KEY)


def movielens_checkpoint(
    world: World,
    folder: Path,
    *,
    seed: int = 0,
    normalised: bool = False,
    progress: Progressing | None = None,
) -> Path:
    """A plain model of the world's training rows, as a checkpoint."""

    def build(schema: Schema, mean: Tensor, deviation: Tensor) -> PlainClickModel:
        return PlainClickModel(schema, mean, deviation, normalised=normalised)

    model = train_model(world, build, seed, progress)
    until = world.timestamps[world.train_rows - 1].astype(datetime).replace(tzinfo=UTC)
    return export_checkpoint(
        model, world.schema, Release("movielens_plain", f"seed{seed}", until), folder
    )
