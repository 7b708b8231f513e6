"""What `make verify` says of two versions of a file."""

import numpy as np
import pytest
from safetensors.numpy import save

from commands.verify import differences


@pytest.mark.parametrize(
    ("name", "committed", "made", "how"),
    [
        ("a.txt", b"one\ntwo\n", b"one\nthree\n", ["line 2 is three, committed two"]),
        ("a.csv", b"x,y\n1,2\n", b"x,y\n1,3\n", ["row 1, y is 3, committed 2"]),
        ("a.json", b'{"a": 1}', b"{}", ["a is nothing, committed 1"]),
        ("a.txt", b"one", None, ["was not made"]),
        (
            "a.safetensors",
            save({"w": np.zeros(3)}),
            save({"w": np.array([0, 0, 0.5])}),
            ["w: 1 of 3 elements, by at most 0.5"],
        ),
        (
            "a.safetensors",
            save({"w": np.zeros(3)}, {"model": "one"}),
            save({"w": np.zeros(3)}, {"model": "another"}),
            ["the same tensors, with other metadata or in another order"],
        ),
    ],
)
def test_a_difference_is_told_field_by_field(name, committed, made, how):
    assert list(differences(name, committed, made)) == how
