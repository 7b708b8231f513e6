"""The same bytes in whatever order stages run, and however many at a time."""

import os
import re
import shutil
import subprocess

import pytest
from PIL import Image

from common import parameters
from common.graph import downstream, made_here
from common.parameters import change, change_units, section
from common.processes import PARTIAL, assert_as_committed, assert_same, start, stopped_at
from common.project import ENVIRONMENT, REPRO, ROOT, execute


@pytest.mark.slow
@pytest.mark.fault("two `dvc repro` at once, other stages")
def test_two_at_once_on_different_targets(emptied, small_pipeline):
    """They interleave as they may: another order every time."""
    photograph = start(emptied, "alexnet_maps", "convolve")
    digits = start(emptied, "weight_grid@cnn", "learning_curves@mlp", "weight_grid@logistic")
    assert (photograph.wait(), digits.wait()) == (0, 0), (emptied / "log").read_text(
        encoding="utf-8"
    )
    assert_as_committed(emptied, small_pipeline)


@pytest.mark.slow
def test_the_last_stages_first(emptied, small_pipeline):
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
    assert_as_committed(emptied, small_pipeline)


@pytest.mark.slow
def test_several_at_a_time(emptied, small_pipeline):
    """As a graph of Dask's: the same bytes, and nothing runs that is up to date. The user's shell,
    in which DVC alone would run the stages, may be one that runs nothing."""
    result = execute(emptied, *REPRO, "--jobs", "3", SHELL="/bin/false")
    *lines, last = result.stdout.splitlines()
    assert (result.returncode, last) == (0, f"{len(made_here())} stages ran."), result.stderr
    assert {line.split(":")[0] for line in lines} == {*made_here()}
    assert_same(emptied, small_pipeline)
    result = execute(emptied, *REPRO)
    assert result.stdout == "Data and pipelines are up to date.\n"


def test_a_stage_that_fails_stops_what_depends_on_it_alone(project):
    change(project, section("mlp"), batch_size=3000)
    change(project, "photo", size=127)
    result = execute(project, *REPRO)
    assert result.returncode == 1
    problem = f"error: params.yaml: {section('mlp')}.batch_size is 3,000; it should be at most"
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


@pytest.mark.slow
def test_what_stages_print_is_there_while_they_run(project, tmp_path):
    """In a pipe too: a stage that has stopped has said how far it is."""
    change_units(project, 12)
    with stopped_at("open", PARTIAL, tmp_path / "stops", command="-m stages.train mlp") as stops:
        process = subprocess.Popen(
            REPRO,
            cwd=project,
            env=ENVIRONMENT | stops.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        stage = stops.next(process)
        seen = iter(process.stdout.readline, "train@mlp: 93 of 93 iterations of mlp\n")
        assert "train@mlp: 0 of 93 iterations of mlp\n" in seen
        stage.resume()
        process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize("jobs", [(), ("JOBS=2",)])
def test_make_ends_with_the_address_of_the_page(project, jobs):
    made = execute(project, "make", "-n", "-o", ".venv/installed", "repro", *jobs)
    command = made.stdout.replace("\\\n", "").splitlines()[-1]
    result = execute(project, "sh", "-c", command)
    *_, said, last = result.stdout.splitlines()
    assert said == "Data and pipelines are up to date."
    address = (project / "artifacts/report/index.html").as_uri()
    assert re.fullmatch(rf"After \d+ s, the page is up to date: {re.escape(address)}", last)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_name_that_is_none_does_not_come_to_the_shell(tmp_path, jobs):
    (tmp_path / ".dvc").mkdir()
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    params = parameters.read()
    params["photo"]["path"] = "dvc.yaml"  # any file that is there
    params["models"] = {"x; touch made": {}}
    parameters.write(params, tmp_path)
    result = execute(tmp_path, *REPRO, "--jobs", jobs, PYTHONPATH=str(ROOT))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("error: params.yaml: models.x; touch made is 'x; touch made'; ")
    assert not (tmp_path / "made").exists()


def test_a_pipe_for_a_photograph_is_not_waited_for(tmp_path):
    (tmp_path / ".dvc").mkdir()
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    os.mkfifo(tmp_path / "photo.jpg")
    change(tmp_path, "photo", path="photo.jpg")
    result = execute(tmp_path, *REPRO, PYTHONPATH=str(ROOT))
    assert result.stderr == (
        "error: params.yaml: photo.path is photo.jpg, which is neither a file nor a folder\n"
    )


@pytest.mark.fault("a path in params.yaml that is none")
@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("photo", None, "is empty; it should be a path, in quotes if it is a number"),
        ("photo", 2024, "is 2024; it should be a path, in quotes if it is a number"),
        ("images", "", "is empty; it should be a path, in quotes if it is a number"),
        ("images", "no/where", "is no/where, but there is no such file or folder"),
    ],
)
def test_a_path_that_is_none_is_named_before_dvc_reads_it(tmp_path, key, value, problem, jobs):
    for name in (".dvc", "data"):
        (tmp_path / name).mkdir()
    for name in ("dvc.yaml", "params.yaml", "data/grace_hopper.jpg"):
        shutil.copy(ROOT / name, tmp_path / name)
    change(tmp_path, key, path=value)
    result = execute(tmp_path, *REPRO, "--jobs", jobs, PYTHONPATH=str(ROOT))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"error: params.yaml: {key}.path {problem}\n"
