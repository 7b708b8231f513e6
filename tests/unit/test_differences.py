"""What `make verify` says of two versions of a file."""

import pytest

from commands.verify import differences


@pytest.mark.parametrize(
    ("name", "committed", "made", "how"),
    [
        ("a.txt", b"one\ntwo\n", b"one\nthree\n", ["line 2 is three, committed two"]),
        ("a.csv", b"x,y\n1,2\n", b"x,y\n1,3\n", ["row 1, y is 3, committed 2"]),
        ("a.json", b'{"a": 1}', b"{}", ["a is nothing, committed 1"]),
        ("a.txt", b"one", None, ["was not made"]),
    ],
)
def test_a_difference_is_told_field_by_field(name, committed, made, how):
    assert list(differences(name, committed, made)) == how
