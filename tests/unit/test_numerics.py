"""What is said of processors on which bytes may differ, and how such bytes are counted."""

import sys

from commands.processors import differing_bytes
from common.processes import onednn_used
from common.project import ROOT, execute


def test_another_architecture_says_so_once():
    code = (
        "import platform; platform.machine = lambda: 'aarch64'; "
        "import stages.core.learning.training"
    )
    result = execute(ROOT, sys.executable, "-c", code)
    assert result.returncode == 0
    assert result.stderr.count("outputs may differ from dvc.lock") == 1


CONVOLVED = """
from itertools import product
from stages.core.numerics.pinned import Conv2d, torch
for kernel, padding, stride, side in product(range(1, 9), range(5), (1, 2, 5), (1, 4, 9, 28)):
    if side + 2 * padding >= kernel:
        conv = Conv2d(3, 5, kernel, padding=padding, stride=stride)
        x = torch.rand(2, 3, side, side)
        expected = torch.nn.functional.conv2d(x, conv.weight, conv.bias, stride, padding)
        assert torch.allclose(conv(x), expected, atol=1e-5), (kernel, padding, stride, side)
"""


def test_onednn_is_used_only_by_the_kernel_that_needs_no_cache():
    """For convolutions of every size that a model may have; their values are torch's."""
    result = execute(ROOT, sys.executable, "-c", CONVOLVED, ONEDNN_VERBOSE="1")
    assert result.returncode == 0, result.stderr
    assert onednn_used(result.stdout) == {("convolution", "jit:avx2")}


def test_bytes_that_differ_are_counted():
    ours = {"a": b"12345", "b": b"12345", "c": b"12"}
    assert differing_bytes(ours, ours) == {}
    assert differing_bytes(ours, {"a": b"12345", "b": b"x2y4"}) == {"b": 3, "c": 2}
