"""The same bytes in whatever order stages run, and however many at a time."""

import pytest
from PIL import Image

from common.graph import downstream, made_here, outputs
from common.parameters import UNITS, change, change_units
from common.processes import assert_as_committed, start
from common.project import LOCK, REPRO, execute


@pytest.mark.slow
@pytest.mark.fault("two `dvc repro` at once, other stages")
def test_two_at_once_on_different_targets(emptied, pipeline):
    """They interleave as they may: another order every time."""
    photograph = start(emptied, "alexnet_maps", "convolve")
    digits = start(emptied, "weight_grid@cnn", "learning_curves@mlp", "weight_grid@logistic")
    assert (photograph.wait(), digits.wait()) == (0, 0), (emptied / "log").read_text()
    assert_as_committed(emptied, pipeline)


@pytest.mark.slow
def test_the_last_stages_first(emptied, pipeline):
    for stage in (
        "prepare_photo",
        "alexnet_maps",
        "convolve",
        "split_digits",
        "train@cnn",
        "weight_grid@cnn",
        "train@mlp",
        "learning_curves@mlp",
        "train@logistic",
    ):
        execute(emptied, "dvc", "repro", "--single-item", stage).check_returncode()
    assert_as_committed(emptied, pipeline)


@pytest.mark.slow
def test_several_at_a_time(emptied, pipeline):
    """As a graph of Dask's: the same bytes, and nothing runs that is up to date. The user's shell,
    in which DVC alone would run the stages, may be one that runs nothing."""
    result = execute(emptied, *REPRO, "--jobs", "3", SHELL="/bin/false")
    expected = (0, f"{len(made_here())} stages ran.\n")
    assert (result.returncode, result.stdout) == expected, result.stderr
    assert (emptied / "dvc.lock").read_bytes() == LOCK
    assert outputs(emptied) == outputs(pipeline)
    result = execute(emptied, *REPRO)
    assert result.stdout == "Data and pipelines are up to date.\n"


def test_a_stage_that_fails_stops_what_depends_on_it_alone(project):
    change_units(project, 0)
    change(project, "photo", size=127)
    result = execute(project, *REPRO)
    assert result.returncode == 1
    problem = f"error: params.yaml: {UNITS} is 0; it should be greater than"
    assert problem in result.stderr and "train@mlp failed:\n" in result.stderr
    for stage in ("learning_curves@mlp", "weight_grid@mlp"):
        skipped = f"{stage} was skipped: it reads outputs of train@mlp\n"
        assert skipped in result.stderr
    bad, all_of_them = downstream("train@mlp"), downstream("train@mlp", "prepare_photo")
    last = f"error: {len(bad)} of {len(all_of_them)} stages have no new outputs\n"
    assert result.stderr.endswith(last)
    assert Image.open(project / "data/photo.png").size == (127, 127)
    status = execute(project, "dvc", "status").stdout
    assert "mlp" in status and "alexnet_maps" not in status and "convolve" not in status
