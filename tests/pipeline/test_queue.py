"""A sweep over a parameter as experiments of DVC, in its queue, and the figure of it."""

import json
import re
import shutil
import subprocess
from contextlib import suppress
from subprocess import DEVNULL

import psutil
import pytest
from PIL import Image

from stages.tools import sweep

from common.graph import downstream, outputs, stages
from common.parameters import UNITS, change, change_units, value
from common.processes import until
from common.project import ENVIRONMENT, ROOT, execute
from common.remotes import follow, recipe
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


def columns(table):
    """A table as the README has it, without what is another every time: names and digests."""
    header, *rows = (line.split() for line in table.splitlines())
    return [header, *sorted(row[-2:] for row in rows)]


def is_clean(project):
    """Whether git and DVC find nothing that differs from the commit."""
    changes = execute(project, "git", "status", "--porcelain").stdout
    return changes == "" and "up to date" in execute(project, "dvc", "status").stdout


def start_queue(project, line):
    # Its workers keep what it prints to open: a pipe would be waited for as long as they run.
    quiet = {"stdout": DEVNULL, "stderr": DEVNULL}
    subprocess.run(("sh", "-c", line), cwd=project, env=ENVIRONMENT, check=True, **quiet)
    until(lambda: is_over(execute(project, "dvc", "queue", "status").stdout))


def stop_queue(project):
    for process in workers(project):
        with suppress(psutil.NoSuchProcess):
            process.kill()  # DVC's workers may miss the word that they can end


@pytest.fixture
def swept(project):
    """A project after what the README has to try, and what its lines printed, by their beginnings;
    no worker of the queue is left."""
    block, *_ = recipe("Try something", {" --open": ""}, "README.md")
    printed = {}
    try:
        for line in block.replace("\\\n", "").splitlines():
            if edit := re.match(r"# edit params.yaml: (\S+)\.(\w+): (\d+)$", line):
                section, key, number = edit.groups()
                change(project, section, **{key: int(number)})
            elif line.startswith("dvc queue start"):
                start_queue(project, line)
            elif line.startswith(("dvc", "git")):
                result = follow(project, line)
                printed[line] = result.stdout + result.stderr
            if "back again" in line:
                assert is_clean(project), line
    finally:
        stop_queue(project)
    return project, printed


@pytest.mark.slow
def test_a_sweep_runs_what_it_must_and_its_figure_shows_what_came_out(swept, tmp_path, capsys):
    swept, printed_by = swept
    assert is_clean(swept)
    [diff] = [text for line, text in printed_by.items() if line.startswith("dvc params diff")]
    assert re.search(rf"{UNITS} +30 +100", diff)
    [table] = [text for line, text in printed_by.items() if "exp show --csv" in line]
    assert max(map(len, table.splitlines())) <= 100
    assert [words.split()[-1] for words in table.splitlines()[1:3]] == ["30", "30"]
    assert {words.split()[-1] for words in table.splitlines()[3:]} == {"10", "30", "100"}
    shown = recipe("Try something", page="README.md")[1]
    assert columns(shown) == columns(table)

    printed = execute(swept, "dvc", "exp", "show", "--json").stdout
    _, commit = json.loads(printed)
    points, trained = [], {}
    [alone] = [found for found in commit["experiments"] if not found["executor"]]
    for found in commit["experiments"]:
        [result] = found["revs"]
        if found is alone:
            continue
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

    axes, drawn = lines(printed.encode(), UNITS, "test_accuracy")
    assert drawn == {"mlp": sorted(points)}
    left_out = f"{alone['name']} is left out: models.cnn.epochs is 10, not 3\n"
    assert capsys.readouterr().err == left_out
    assert {text.get_text() for text in axes.texts} == {f"{y:.4g}" for _, y in points}
    [said] = [text for line, text in printed_by.items() if "stages.tools.sweep" in line]
    assert said == left_out
    sweep.save_figure(axes.figure, tmp_path / "sweep.png")
    assert (swept / "artifacts/sweep.png").read_bytes() == (tmp_path / "sweep.png").read_bytes()
    with Image.open(tmp_path / "sweep.png") as picture:
        assert picture.size == (800, 512)


@pytest.mark.slow
def test_going_back_to_a_commit_whose_outputs_nobody_has(project):
    """As the README has it; the next commit's outputs are there again, too."""
    _, _, block = recipe("Try something", page="README.md")
    back, repro = block.splitlines()
    before = outputs(project)
    change_units(project, 12)
    execute(project, "dvc", "repro").check_returncode()
    execute(project, "git", "commit", "-qam", "Another").check_returncode()
    shutil.rmtree(project / ".dvc/cache")
    execute(project, "dvc", "commit", "--force", "--quiet").check_returncode()

    result = execute(project, "sh", "-c", back.replace("OLD", "HEAD~1"))
    assert result.returncode != 0 and "Is your cache up to date?" in result.stderr
    follow(project, repro)
    assert is_clean(project) and outputs(project) == before
    follow(project, back.replace("OLD", "master"))
    assert is_clean(project)


OWN = "data/mine.jpg"


@pytest.mark.slow
@pytest.mark.parametrize("way", ["git add", "dvc add"])
def test_own_images_are_found_in_the_queue(project, way):
    """And without it: as the pages have it, for a photograph and for folders."""
    [add] = re.findall(r"`(git add -f .*?)`", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert add.endswith(OWN)
    shutil.copy(project / "data/grace_hopper.jpg", project / OWN)
    follow(project, add)
    source = next((project / "data/sample_images").rglob("*.png"))
    (project / "own/label").mkdir(parents=True)
    shutil.copy(source, project / "own/label")
    blocks = recipe("A folder of images", page="docs/features.md")
    [lines] = [block for block in blocks if "git add own " in block]
    [line] = [line for line in lines.splitlines() if line.startswith(way)]
    follow(project, line)
    change(project, "photo", path=OWN)
    change(project, "images", path="own")
    run = ("dvc", "exp", "run", "--temp", "--name", "mine", "prepare_photo", "embed_images")
    result = execute(project, *run)
    assert result.returncode == 0, result.stderr
    execute(project, "dvc", "repro", "prepare_photo", "embed_images").check_returncode()
