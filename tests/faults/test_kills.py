"""Processes that are killed while they work: dvc, a stage, what runs several stages."""

import os
import signal
import subprocess

import psutil
import pytest

from common.graph import commands, made_here
from common.processes import (
    PARTIAL,
    PATIENCE,
    assert_as_committed,
    assert_made,
    below,
    start,
    stopped_at,
)
from common.project import ENVIRONMENT, REPRO, copy_with


@pytest.mark.slow
@pytest.mark.fault("SIGKILL to `dvc repro`, in every stage")
def test_killed_in_every_stage(emptied, small_pipeline, tmp_path):
    """SIGKILL to dvc and the stage that it runs, when it has written a file but not yet named it.

    Not between two stages: there dvc rewrites its file of locks in place, and asks to remove it
    when it was killed half-way.
    """
    killed = []
    with stopped_at("os.rename", PARTIAL, tmp_path / "stops", each=True) as stops:
        while stage := stops.next(process := start(emptied, **stops.environment)):
            killed.append(stage.cmdline()[1:])
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert process.returncode == 0, (emptied / "log").read_text(encoding="utf-8")
    assert sorted(killed) == sorted(commands()[name][1:] for name in made_here())
    assert_as_committed(emptied, small_pipeline)


@pytest.mark.fault("SIGKILL to a stage while it writes")
def test_a_stage_alone_is_killed(pipeline, tmp_path):
    """SIGKILL to the stage but not to dvc, over its fourth file: there is no folder yet."""
    project = copy_with(pipeline, tmp_path / "project", "data/alexnet", "data/photo.png")
    with stopped_at("os.rename", PARTIAL, tmp_path / "stops", nth=4) as stops:
        process = start(project, "--single-item", "alexnet_maps", **stops.environment)
        stage = stops.next(process)
        stage.kill()
        assert process.wait() != 0
    [partial] = project.glob("artifacts/*.partial")
    assert (
        len(list(partial.glob("*.partial"))) == 1 and not (project / "artifacts/alexnet").exists()
    )
    assert_made(project, pipeline, "alexnet_maps")


@pytest.mark.slow
@pytest.mark.fault("SIGKILL to one of several processes that run stages")
def test_a_killed_process_is_named_and_nothing_is_lost(emptied, small_pipeline, tmp_path):
    """The stage that it ran goes on."""
    with stopped_at("os.rename", PARTIAL, tmp_path / "stops") as stops:
        process = subprocess.Popen(
            REPRO,
            cwd=emptied,
            env=ENVIRONMENT | stops.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        stage = stops.next(process)
        dvc = next(each for each in stage.parents() if "--single-item" in each.cmdline())
        name = dvc.cmdline()[-1]
        dvc.kill()
        stage.resume()
        lines = process.communicate()[1].splitlines()
    assert f"{name} was killed:" in lines and lines[-1].endswith(" stages have no new outputs")
    assert process.returncode == 1
    assert_as_committed(emptied, small_pipeline)


@pytest.mark.slow
@pytest.mark.fault("SIGKILL to what runs several stages at a time")
def test_killed_while_it_runs_several(emptied, small_pipeline, tmp_path):
    """What it runs ends its stages."""
    with stopped_at("os.rename", PARTIAL, tmp_path / "stops", command=r"-m stages\.train") as stops:
        process = subprocess.Popen(REPRO, cwd=emptied, env=ENVIRONMENT | stops.environment)
        stage = stops.next(process)
        left = below(process, "--single-item")
        process.kill()
        process.wait()
        stage.resume()
        assert not psutil.wait_procs(left, timeout=PATIENCE)[1]
    assert_as_committed(emptied, small_pipeline)
