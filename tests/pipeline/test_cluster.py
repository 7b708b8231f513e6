"""The pipeline on a real Dask cluster, and what becomes of it when a worker dies."""

import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest
from distributed import Client
from PIL import Image
from safetensors.numpy import load_file

from common.graph import downstream, outputs
from common.parameters import change, section
from common.processes import PARTIAL, PATIENCE, assert_same, below, dask_process, stopped_at, until
from common.project import ENVIRONMENT, REPRO, execute

ON = (*REPRO, "--scheduler")


@contextmanager
def cluster(folder, num_workers, **environment):
    """A scheduler and workers of one thread each in the folder; yields its address and them."""
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    at = ("--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0")
    with dask_process(folder, "scheduler", *at, "--scheduler-file", str(file)) as scheduler:
        until(file.exists, scheduler)
        options = ("--nworkers", str(num_workers), "--nthreads", "1", "--dashboard-address", ":0")
        arguments = ("worker", "--scheduler-file", str(file), *options)
        with (
            dask_process(folder, *arguments, **environment) as workers,
            Client(scheduler_file=str(file), timeout=PATIENCE) as client,
        ):
            client.wait_for_workers(num_workers, timeout=PATIENCE)
            yield client.scheduler.address, workers


@pytest.fixture
def images(project):
    """A project whose own images are 2,000 digits, in four files of features, not yet made."""
    digits = load_file(project / "data/digits.safetensors")
    for index in range(2000):
        path = project / f"own/{digits['train_labels'][index]}/{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits["train_images"][index]).save(path)
    (project / "own/broken.png").write_text("no image", encoding="utf-8")
    change(project, "images", path="own", size=63, max_skipped=1)
    change(project, "alexnet_patches", images=4)
    change(project, "image_attributions", images=1, places=2)
    change(project, "principal_axes", digits=20, images=50)
    return project


def embedded(project):
    """The features that were made last; dvc forgets them, so that they are made again."""
    made = outputs(project)
    shutil.rmtree(project / "artifacts/embedded_images")
    shutil.rmtree(project / ".dvc/cache/runs")
    execute(project, "git", "checkout", "HEAD", "dvc.lock").check_returncode()
    return {name: made[name] for name in made if "d_images" in name}  # embedded, skipped


@pytest.mark.slow
def test_the_bytes_are_the_same_with_1_2_and_7_workers(images):
    execute(images, "dvc", "repro").check_returncode()
    here = embedded(images)
    assert len(here) == 5
    for num_workers in (1, 2, 7):
        with cluster(images, num_workers) as (address, _):
            result = execute(images, *ON, address)
        assert result.returncode == 0, result.stderr
        assert result.stdout.splitlines()[0].startswith("Dask's dashboard: http://127.0.0.1:")
        assert result.stdout.splitlines()[-1] == f"{len(downstream('embed_images'))} stages ran."
        assert embedded(images) == here


@pytest.mark.slow
def test_the_whole_pipeline_though_workers_are_killed(emptied, small_pipeline, tmp_path):
    """One worker over an early stage, another over a late one; both stages go on."""
    command = r"-m stages\.(split_digits|train cnn) "
    with (
        stopped_at("os.rename", PARTIAL, tmp_path / "stops", command=command, each=True) as stops,
        cluster(emptied, 2, **stops.environment) as (address, workers),
    ):
        process = subprocess.Popen((*ON, address), cwd=emptied, env=ENVIRONMENT)
        for _ in range(2):
            stage = stops.next(process)
            above = stage.parents()
            next(worker for worker in worker_processes(workers) if worker in above).kill()
            stage.resume()
        assert process.wait() == 0
    assert_same(emptied, small_pipeline)


def worker_processes(workers):
    """The processes that compute, below the ones that watch over them."""
    return below(workers, "spawn_main")


@pytest.mark.slow
def test_a_worker_that_dies_over_its_images_loses_none(images, tmp_path):
    """It dies when it is about to read its hundredth."""
    execute(images, "dvc", "repro").check_returncode()
    here = embedded(images)
    with (
        stopped_at("open", r"own/\d/", tmp_path / "stops", command="spawn_main", nth=100) as stops,
        cluster(images, 2, **stops.environment) as (address, workers),
    ):
        process = subprocess.Popen((*ON, address), cwd=images, env=ENVIRONMENT)
        worker = stops.next(process)
        assert worker in worker_processes(workers)
        worker.kill()
        assert process.wait() == 0
    assert embedded(images) == here


def test_a_stage_that_fails_stops_what_depends_on_it_alone(project):
    change(project, section("mlp"), batch_size=3000)
    change(project, "photo", size=127)
    with cluster(project, 2) as (address, _):
        result = execute(project, *ON, address)
    assert result.returncode == 1
    problem = f"error: params.yaml: {section('mlp')}.batch_size is 3,000; it should be at most"
    assert problem in result.stderr and "train@mlp failed:\n" in result.stderr
    bad, all_of_them = downstream("train@mlp"), downstream("train@mlp", "prepare_photo")
    last = f"error: {len(bad)} of {len(all_of_them)} stages have no new outputs\n"
    assert result.stderr.endswith(last)
    assert Image.open(project / "data/photo.png").size == (127, 127)


@pytest.mark.slow
def test_a_worker_elsewhere_or_with_other_code_is_refused(project, tmp_path):
    """Each would leave its outputs where nobody looks, or make those of another version."""
    (project / "dvc.lock").unlink()
    advice = f"has another folder or other code; restart all workers in {project}: "
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with cluster(elsewhere, 1) as (address, _):
        result = execute(project, *ON, address)
        assert result.returncode == 1
        assert result.stderr == (
            f"error: a Dask worker of {address} {advice}python -m dask worker {address}\n"
        )
    with cluster(project, 1) as (address, _):
        code = "from stages.core.parallel.cluster import project; from distributed import Client"
        execute(
            project,
            "python",
            "-c",
            f"{code}; import sys; Client(sys.argv[1]).run(project)",
            address,
        )
        next((project / "stages").rglob("idx.py")).open("a", encoding="utf-8").write("# changed\n")
        result = execute(project, *ON, address)
        assert result.returncode == 1 and advice in result.stderr


def test_no_scheduler_is_one_line(project):
    (project / "dvc.lock").unlink()
    for address in ("tcp://127.0.0.1:9", "nonsense://here:9"):
        result = execute(project, *ON, address)
        assert result.returncode == 1 and "Traceback" not in result.stderr
        message = f"error: no Dask scheduler answers at {address}: "
        assert result.stderr.splitlines()[-1].startswith(message)


def test_without_the_extra_it_says_what_to_install(project):
    (project / "dvc.lock").unlink()
    hidden = "import sys; sys.modules['distributed'] = None; from stages.tools import repro"
    code = f"{hidden}; sys.argv = ['repro', '--scheduler', 'tcp://127.0.0.1:9']; repro.main()"
    result = execute(project, sys.executable, "-c", code)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "error: a cluster needs the package distributed: see tests/requirements.txt"
    )
