import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.domain.block import Population
from services.aggregator.domain.sampling import KeptBatch, priority_of, trim

C, D = Population.CONSIDERED, Population.DISPLAYED


def batches(population: Population, count: int, examples: int) -> list[KeptBatch]:
    names = [f"{population.value}-{n}" for n in range(count)]
    return [KeptBatch(priority_of(name), population, examples, name.encode()) for name in names]


def total(kept: list[KeptBatch], population: Population) -> int:
    return sum(batch.example_count for batch in kept if batch.population is population)


def test_a_population_that_is_alone_has_the_whole_sample() -> None:
    kept = trim(batches(C, 50, 100), 2000)
    assert total(kept, C) == 2000
    assert kept == sorted(batches(C, 50, 100), key=lambda b: b.priority)[:20]


def test_two_populations_share_it() -> None:
    kept = trim(batches(C, 90, 100) + batches(D, 20, 100), 2000)
    assert (total(kept, C), total(kept, D)) == (1000, 1000)


def test_what_the_smaller_population_does_not_need_goes_to_the_larger() -> None:
    kept = trim(batches(C, 90, 100) + batches(D, 3, 100), 2000)
    assert (total(kept, C), total(kept, D)) == (1700, 300)


def test_one_batch_always_stays() -> None:
    assert len(trim(batches(C, 3, 5000), 2000)) == 1


@given(st.permutations(batches(C, 8, 70) + batches(D, 5, 90)))
def test_batch_by_batch_is_as_good_as_all_at_once(arriving: list[KeptBatch]) -> None:
    kept: list[KeptBatch] = []
    for batch in arriving:
        kept = trim([*kept, batch], 500)
    for population in (C, D):
        ours = [b for b in kept if b.population is population]
        all_of_it = sorted(
            (b for b in arriving if b.population is population), key=lambda b: b.priority
        )
        assert ours == all_of_it[: len(ours)]
    assert total(kept, C) + total(kept, D) <= 500


def test_priorities_are_uniform() -> None:
    draws = np.sort([priority_of(f"batch-{n}") / 2**48 for n in range(2000)])
    # Kolmogorov and Smirnov's distance; 0.044 is its 0.1 % point.
    assert np.abs(draws - (np.arange(2000) + 0.5) / 2000).max() < 0.044
