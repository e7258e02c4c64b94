from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.audit.domain.parameters import IndependentSetMethod
from services.audit.engine.independent_set import independent_set


def random_conflicts(seed: int, vertices: int, density: float) -> NDArray[np.bool_]:
    upper = np.triu(np.random.default_rng(seed).random((vertices, vertices)) < density, 1)
    return upper | upper.T


def largest(conflicts: NDArray[np.bool_]) -> int:
    count = len(conflicts)
    return max(
        size
        for size in range(count + 1)
        for chosen in combinations(range(count), size)
        if not conflicts[np.ix_(chosen, chosen)].any()
    )


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(0, 60),
    st.floats(0.0, 1.0),
    st.sampled_from(IndependentSetMethod),
)
def test_sets_are_independent_and_maximal(
    seed: int, vertices: int, density: float, method: IndependentSetMethod
) -> None:
    conflicts = random_conflicts(seed, vertices, density)
    found = independent_set(conflicts, method, 3, seed)
    assert not conflicts[np.ix_(found, found)].any()
    others = np.setdiff1d(np.arange(vertices), found)
    assert all(conflicts[vertex, found].any() for vertex in others)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 10), st.floats(0.0, 1.0))
def test_the_integer_program_finds_the_largest(seed: int, vertices: int, density: float) -> None:
    conflicts = random_conflicts(seed, vertices, density)
    found = independent_set(conflicts, IndependentSetMethod.EXACT, 1, 0)
    assert len(found) == largest(conflicts)


def test_least_degree_first_is_nearer_to_the_optimum_than_random_restarts() -> None:
    graphs = [random_conflicts(seed, 90, 0.12) for seed in range(10)]

    def total(method: IndependentSetMethod, restarts: int) -> int:
        return sum(len(independent_set(graph, method, restarts, 0)) for graph in graphs)

    optimum = total(IndependentSetMethod.EXACT, 1)
    greedy = total(IndependentSetMethod.MINIMUM_DEGREE, 20)
    assert total(IndependentSetMethod.RANDOM_RESTARTS, 20) < greedy <= optimum
    assert greedy >= 0.95 * optimum


@pytest.mark.parametrize("method", IndependentSetMethod)
def test_one_seed_has_one_answer(method: IndependentSetMethod) -> None:
    conflicts = random_conflicts(3, 50, 0.3)
    first, second = (independent_set(conflicts, method, 5, 11) for _ in range(2))
    assert first.tolist() == second.tolist()
