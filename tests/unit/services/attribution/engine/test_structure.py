"""Structured deltas say the same as the changes written out."""

import torch
from torch import Tensor

from services.attribution.engine.ownership import Layout, Own, laid_out
from services.attribution.engine.pairs import Pairs
from services.attribution.engine.structure import Delta, Term, merged

WIDTH = 4
PAIRS = Pairs(
    features=(0, 1, 2),
    starts=(0, 2, 3, 5),
    rows=torch.tensor([0, 2, 1, 0, 1]),
    owners=torch.tensor([0, 0, 1, 2, 2]),
)
ROWS = 3


def _random(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator)


def test_a_scale_multiplies_each_pair_and_stays_apart_from_the_amounts() -> None:
    amounts, matrix, factor = _random(5, 2), _random(2, WIDTH), _random(ROWS, WIDTH)
    term = Term(amounts, matrix, factor)
    scaled = term.times(_random(5, 1)).times(_random(5, 1) + 1)
    assert scaled.amounts is amounts
    expected = Delta(PAIRS, WIDTH, (term,)).dense() * _random(5, 1) * (_random(5, 1) + 1)
    torch.testing.assert_close(Delta(PAIRS, WIDTH, (scaled,)).dense(), expected)


def test_terms_that_differ_in_their_scales_alone_are_summed() -> None:
    amounts, matrix, factor = _random(5, 2), _random(2, WIDTH), _random(ROWS, WIDTH)
    term = Term(amounts, matrix, factor)
    terms = (term, term.times(_random(5, 1)), Term(_random(5, 2), matrix, factor))
    joined = merged(terms)
    assert len(joined) == 2
    torch.testing.assert_close(
        Delta(PAIRS, WIDTH, joined).dense(), Delta(PAIRS, WIDTH, terms).dense()
    )


def test_a_scaled_term_is_not_plain() -> None:
    assert Term(_random(5, WIDTH)).is_plain
    assert not Term(_random(5, WIDTH), scale=_random(5, 1)).is_plain


def test_what_terms_make_at_own_columns_is_what_they_make_there() -> None:
    layout = Layout({0: slice(0, 2), 1: slice(2, 3), 2: slice(3, 4)})
    term = Term(_random(5, 2), _random(2, WIDTH), _random(ROWS, WIDTH), scale=_random(5, 1))
    delta = Delta(PAIRS, WIDTH, (term, Term(_random(5, WIDTH))))
    for stretch in layout.stretches(PAIRS.features):
        here, whole = delta.terms_at(stretch), delta.dense()[stretch.span(PAIRS)]
        columns = stretch.columns[PAIRS.places(stretch.first, stretch.last, of_rows=False)]
        assert here is not None
        torch.testing.assert_close(here, whole.gather(1, columns))


def test_neighbours_that_own_equally_much_make_one_stretch() -> None:
    layout = Layout({0: slice(0, 2), 1: slice(2, 4), 2: slice(4, 5), 4: slice(5, 6)})
    stretches = layout.stretches((0, 1, 2, 3, 4))
    assert [(s.first, s.last, s.count) for s in stretches] == [(0, 2, 2), (2, 3, 1), (4, 5, 1)]


def test_own_changes_are_laid_out_anew_without_losing_any() -> None:
    first = Own(Layout({0: slice(0, 1), 1: slice(1, 2), 2: slice(2, 3)}), [_random(5, 1)])
    second = Own(Layout({0: slice(3, 5), 1: slice(5, 7)}), [_random(3, 2)])
    places = {
        0: torch.tensor([0, 3, 4]),
        1: torch.tensor([1, 5, 6]),
        2: torch.tensor([2]),
    }
    joined = laid_out(Layout(places), PAIRS, [first, second])
    parts = Delta(PAIRS, 7, own=first).dense() + Delta(PAIRS, 7, own=second).dense()
    torch.testing.assert_close(Delta(PAIRS, 7, own=joined).dense(), parts)
