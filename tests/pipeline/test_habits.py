"""What people set in their shells does not count."""

import pytest

from common.processes import assert_same
from common.project import execute

PYTHON = {
    "PYTHONDEVMODE": "1",
    "PYTHONHASHSEED": "7",
    "PYTHONIOENCODING": "ascii",
    "PYTHONOPTIMIZE": "2",
    "PYTHONUTF8": "0",
}


@pytest.mark.slow
def test_pythons_environment_variables_change_no_byte(emptied, small_pipeline):
    result = execute(emptied, "dvc", "repro", **PYTHON)
    assert result.returncode == 0, result.stdout + result.stderr
    assert_same(emptied, small_pipeline)
