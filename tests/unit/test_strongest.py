"""The places of the largest activations: by comparing all of them, one after another."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.interpretation.patches import Place, first_places, strongest
from stages.core.interpretation.receptive import Field


def found_by_comparing(maps, count, field, above):
    """What the module promises, without a limit before the end."""
    chosen = []
    for image, values in enumerate(maps):
        values = values if field else values.max(keepdims=True)
        places = [
            Place(value, image, *place) for place, value in np.ndenumerate(values) if value > above
        ]
        kept = []
        for place in sorted(places, key=lambda p: (-p.activation, p.row, p.column)):
            near = any(
                max(abs(place.row - other.row), abs(place.column - other.column)) * field.step
                < field.size / 2
                for other in kept
            )
            if not near and all(place.activation != other.activation for other in kept):
                kept.append(place)
        chosen += kept
    chosen.sort(key=lambda p: (-p.activation, p.image, p.row, p.column))
    result = []
    for place in chosen:
        if all(place.activation != other.activation for other in result):
            result.append(place)
    return result[:count]


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(1, 7)),
    st.integers(1, 8),
    st.none() | st.builds(Field, st.integers(1, 12), st.integers(1, 4), st.integers(-3, 0)),
    st.sampled_from([-np.inf, 0, 3]),
    st.sampled_from([3, 10, 1000]),
    st.integers(0, 6),
)
def test_they_are_the_strongest_apart_and_different(seed, shape, count, field, above, values, cut):
    """Also if the images come in two batches."""
    random = np.random.default_rng(seed)
    maps = random.integers(-values, values + 1, shape).astype(np.float32)
    before = maps.copy()
    expected = found_by_comparing(maps, count, field, above)
    assert strongest(maps, 0, count, field, above) == expected
    parts = [
        strongest(part, first, count, field, above)
        for part, first in ((maps[:cut], 0), (maps[cut:], cut))
        if len(part)
    ]
    assert first_places([place for part in parts for place in part], count) == expected
    assert np.array_equal(maps, before)


def test_what_is_no_number_excites_nothing():
    maps = np.array([[[np.nan, 1.0], [-2.0, np.nan]]], np.float32)
    assert strongest(maps, 7, 3, Field(1, 1, 0)) == [Place(1.0, 7, 0, 1), Place(-2.0, 7, 1, 0)]
    assert strongest(np.full_like(maps, np.nan), 0, 3, None) == []
