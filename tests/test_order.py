"""The same bytes in whatever order stages run, and whenever they are killed."""

import os
import signal
import subprocess
import time
from contextlib import suppress

import psutil
import pytest
from PIL import Image

from conftest import ENVIRONMENT, ROOT, below, execute
from processors import commands, outputs


def assert_as_committed(project, pipeline):
    result = execute(project, "dvc", "repro")
    assert result.returncode == 0, result.stdout + result.stderr
    assert (project / "dvc.lock").read_bytes() == (ROOT / "dvc.lock").read_bytes()
    assert outputs(project) == outputs(pipeline)
    assert not list(project.rglob("*.partial"))


def start(project, *targets):
    """A `dvc repro` in a process group of its own; what it prints goes to a file `log`."""
    with (project / "log").open("a") as log:
        return subprocess.Popen(
            ("dvc", "--wait-for-lock", "repro", *targets),
            cwd=project,
            env=ENVIRONMENT,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


@pytest.mark.fault("two `dvc repro` at once, other stages")
def test_two_at_once_on_different_targets(emptied, pipeline):
    """They interleave as they may: another order every time."""
    photograph = start(emptied, "alexnet_maps", "convolve")
    digits = start(emptied, "weight_grid@cnn", "learning_curves@mlp", "weight_grid@logistic")
    assert (photograph.wait(), digits.wait()) == (0, 0), (emptied / "log").read_text()
    assert_as_committed(emptied, pipeline)


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


@pytest.mark.fault("SIGKILL to `dvc repro`, in every stage")
def test_killed_in_every_stage(emptied, pipeline):
    """SIGKILL to dvc and the stage that it runs, a little after each stage has begun.

    Not between two stages: there dvc rewrites its file of locks in place, and asks to remove it
    when it was killed half-way.
    """
    killed = set()
    while (process := start(emptied)).poll() is None:
        while process.poll() is None:
            for stage in below(process, "stages."):
                with suppress(psutil.NoSuchProcess):
                    command = tuple(stage.cmdline()[2:])
                    if command not in killed and stage.cpu_times().user > 0.05:
                        os.killpg(process.pid, signal.SIGKILL)
                        process.wait()
                        killed.add(command)
            time.sleep(0.005)
        if process.returncode >= 0:
            break
    assert process.returncode == 0, (emptied / "log").read_text()
    assert killed == {tuple(command[2:]) for command in commands()}
    assert_as_committed(emptied, pipeline)


@pytest.mark.fault("SIGKILL to a stage while it writes")
def test_a_stage_alone_is_killed(emptied, pipeline):
    """SIGKILL to the stage but not to dvc, at the moments at which it may be writing."""
    execute(emptied, "dvc", "repro", "prepare_photo").check_returncode()
    process = start(emptied, "alexnet_maps")
    while not list(emptied.glob("artifacts/alexnet/*.partial")):
        assert process.poll() is None, "the stage ended before it was seen to write"
        time.sleep(0.001)
    for child in psutil.Process(process.pid).children(recursive=True):
        child.kill()
    assert process.wait() != 0
    assert_as_committed(emptied, pipeline)


def test_several_at_a_time(emptied, pipeline):
    """As a graph of Dask's: the same bytes, and nothing runs that is up to date."""
    result = execute(emptied, "python", "-m", "stages.core.repro", "--jobs", "3")
    assert (result.returncode, result.stdout) == (0, "21 stages ran.\n"), result.stderr
    assert (emptied / "dvc.lock").read_bytes() == (ROOT / "dvc.lock").read_bytes()
    assert outputs(emptied) == outputs(pipeline)
    result = execute(emptied, "python", "-m", "stages.core.repro")
    assert result.stdout == "Data and pipelines are up to date.\n"


def test_a_stage_that_fails_stops_what_depends_on_it_alone(project):
    params = (project / "params.yaml").read_text()
    params = params.replace("num_hidden: 30", "num_hidden: 0").replace("size: 631", "size: 127")
    (project / "params.yaml").write_text(params)
    result = execute(project, "python", "-m", "stages.core.repro")
    assert result.returncode == 1
    problem = "error: params.yaml: train.mlp.num_hidden is 0; it should be greater than"
    assert problem in result.stderr and "train@mlp failed:\n" in result.stderr
    for stage in ("learning_curves@mlp", "weight_grid@mlp"):
        left_out = f"{stage} was left out: it reads what train@mlp should have made\n"
        assert left_out in result.stderr
    assert result.stderr.endswith("error: 4 of 7 stages have no new outputs\n")
    assert Image.open(project / "data/photo.png").size == (127, 127)
    status = execute(project, "dvc", "status").stdout
    assert "mlp" in status and "alexnet_maps" not in status and "convolve" not in status


@pytest.mark.fault("SIGKILL to one of several processes that run stages")
def test_a_killed_process_is_named_and_nothing_is_lost(emptied, pipeline):
    process = subprocess.Popen(
        ("python", "-m", "stages.core.repro"),
        cwd=emptied,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    )
    dvc = running(process, "--single-item")[0]
    stage = dvc.cmdline()[-1]
    dvc.kill()
    lines = process.communicate()[1].splitlines()
    assert f"{stage} was killed:" in lines and lines[-1].endswith(" stages have no new outputs")
    assert process.returncode == 1
    assert_as_committed(emptied, pipeline)


@pytest.mark.fault("SIGKILL to what runs several stages at a time")
def test_killed_while_it_runs_several(emptied, pipeline):
    """What it runs ends its stages."""
    process = subprocess.Popen(("python", "-m", "stages.core.repro"), cwd=emptied, env=ENVIRONMENT)
    running(process, "stages.train")
    left = running(process, "--single-item")
    process.kill()
    process.wait()
    assert not psutil.wait_procs(left, timeout=60)[1]
    assert_as_committed(emptied, pipeline)


def running(process, name):
    """The processes below this one with `name` on their command line, as soon as there are some."""
    while not (named := below(process, name)):
        assert process.poll() is None
        time.sleep(0.01)
    return named
