"""A sweep over a parameter as experiments of DVC, in its queue, and the figure of it."""

import json
import re
import subprocess
from contextlib import suppress
from subprocess import DEVNULL

import psutil
import pytest
from PIL import Image

from stages.tools import sweep

from common.graph import downstream, stages
from common.parameters import UNITS, value
from common.processes import until
from common.project import ENVIRONMENT, SWEEP, execute
from common.sweeps import lines


def workers(folder):
    """The processes of the queue that belongs to this folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if "queue-worker" in process.cmdline() and process.cwd().startswith(str(folder)):
                found.append(process)
        except psutil.Error:
            continue
    return found


def is_over(status):
    begun = "Success" in status or "Failed" in status
    return begun and "Queued" not in status and "Running" not in status


@pytest.fixture
def swept(project):
    """A project after a sweep of the number of hidden units; no worker of the queue is left."""
    queue = ("dvc", "exp", "run", "--queue", "-S", f"{UNITS}=10,30,100")
    execute(project, *queue).check_returncode()
    try:
        # Its workers keep what it prints to open: a pipe would be waited for as long as they run.
        start = ("dvc", "queue", "start", "-j", "2")
        subprocess.run(
            start, cwd=project, env=ENVIRONMENT, stdout=DEVNULL, stderr=DEVNULL, check=True
        )
        until(lambda: is_over(execute(project, "dvc", "queue", "status").stdout))
    finally:
        for process in workers(project):
            with suppress(psutil.NoSuchProcess):
                process.kill()  # DVC's workers may miss the word that they can end
    return project


@pytest.mark.slow
def test_a_sweep_runs_what_it_must_and_its_figure_shows_what_came_out(swept, tmp_path):
    printed = execute(swept, "dvc", "exp", "show", "--json").stdout
    _, commit = json.loads(printed)
    points, trained = [], {}
    for found in commit["experiments"]:
        [result] = found["revs"]
        hidden = value(result["data"]["params"]["params.yaml"]["data"], UNITS)
        metrics = result["data"]["metrics"]["artifacts/metrics/mlp.json"]["data"]
        assert metrics["num_parameters"] == 795 * hidden + 10
        points.append([hidden, metrics["test_accuracy"]])
        log = execute(swept, "dvc", "queue", "logs", found["name"]).stdout
        assert log.count("skipping") + log.count("Running stage") == len(stages())
        trained[hidden] = set(re.findall("Running stage '(.*)'", log))
    mlp = downstream("train@mlp")
    assert trained == {10: mlp, 30: set(), 100: mlp}
    assert len({accuracy for _, accuracy in points}) == 3
    assert execute(swept, "git", "status", "--porcelain").stdout == ""

    axes, drawn = lines(printed.encode(), UNITS, "test_accuracy")
    assert drawn == {"mlp": sorted(points)}
    assert {text.get_text() for text in axes.texts} == {f"{y:.4g}" for _, y in points}
    draw = f"{' '.join(SWEEP)} {UNITS} test_accuracy artifacts/sweep.png"
    execute(swept, "sh", "-c", f"dvc exp show --json | {draw}").check_returncode()
    sweep.save_figure(axes.figure, tmp_path / "sweep.png")
    assert (swept / "artifacts/sweep.png").read_bytes() == (tmp_path / "sweep.png").read_bytes()
    with Image.open(tmp_path / "sweep.png") as picture:
        assert picture.size == (800, 512)
