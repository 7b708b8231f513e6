"""What fails around the pipeline: disks, servers, caches, other processes.

After each failure there is a clear message, no wrong file is taken for a right one, and the next
`dvc repro` makes the right bytes.
"""

import os
import re
import subprocess
import sys
from hashlib import md5
from pathlib import Path

import pytest

from common.graph import commands
from common.processes import PARTIAL, assert_as_committed, assert_made, kill, start, stopped_at
from common.project import CHECK, ENVIRONMENT, ROOT, copy_pipeline, copy_with, execute
from common.remotes import Remote, follow, give, needs_sshd, recipe, serving, sshd

MODEL = "artifacts/models/cnn.safetensors"


@pytest.mark.fault("no space left in the middle of training, or drawing figures")
@pytest.mark.parametrize(
    ("stage", "inputs"),
    [
        ("train@cnn", ["data/digits.safetensors"]),
        pytest.param("alexnet_maps", ["data/alexnet", "data/photo.png"], marks=pytest.mark.slow),
    ],
    ids=["training", "drawing"],
)
def test_the_disk_is_full_half_way(pipeline, disk, tmp_path, stage, inputs):
    """All the rest of the disk is taken when the stage is about to write."""
    disk.mount("size=200m")
    project = copy_with(pipeline, disk.path / "project", *inputs)
    log = tmp_path / "log"
    (project / "log").symlink_to(log)
    with stopped_at("open", PARTIAL, tmp_path / "stops") as stops:
        process = start(project, "--single-item", stage, **stops.environment)
        stopped = stops.next(process)
        filler = disk.fill()
        stopped.resume()
        assert process.wait() != 0
    filler.unlink()
    assert not list(project.rglob("*.partial"))
    assert re.search(
        "^error: artifacts/.*: No space left on device$",
        log.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert_made(project, pipeline, stage)


@pytest.mark.slow
@pytest.mark.fault("a read-only checkout")
def test_a_checkout_that_is_read_only(pipeline, disk):
    disk.mount("size=200m")
    project = copy_with(pipeline, disk.path / "project", "data/digits.safetensors")
    disk.mount("ro")
    result = execute(project, "dvc", "repro", "--single-item", "train@cnn")
    assert result.returncode != 0
    assert "Read-only file system: " in result.stderr and "Traceback" not in result.stderr
    result = execute(project, *commands()["train@cnn"])
    last = result.stderr.splitlines()[-1]
    assert last == "error: artifacts/models/cnn.safetensors: Read-only file system"
    disk.mount("rw")
    assert_made(project, pipeline, "train@cnn")


@pytest.mark.fault("two `dvc repro` at once, the same stage")
def test_two_at_once(pipeline, tmp_path):
    """The same stage, neither told to wait for the other: one runs it, the other says who does."""
    project = copy_with(pipeline, tmp_path / "project", "data/digits.safetensors")
    command = ("dvc", "repro", "--single-item", "train@cnn")
    with stopped_at("open", PARTIAL, tmp_path / "stops") as stops:
        first = subprocess.Popen(
            command, cwd=project, env=ENVIRONMENT | stops.environment, stdout=subprocess.DEVNULL
        )
        stage = stops.next(first)
        second = execute(project, *command)
        stage.resume()
        assert first.wait() == 0
    assert second.returncode == 255 and "ERROR" in second.stderr
    assert f"(PID {first.pid}): " in second.stderr or "Unable to acquire lock" in second.stderr
    assert "Traceback" not in second.stderr
    assert_made(project, pipeline, "train@cnn")


NO_HOME = ("unshare", "--user", "--map-user=12345", "env", "--unset=HOME")


@pytest.mark.slow
@pytest.mark.fault("a user without a home folder")
@pytest.mark.parametrize(
    ("user", "reason"),
    [
        (("env", "HOME=/proc/none"), "No such file or directory: '/proc/none'"),
        (NO_HOME, "could not determine the home directory"),
    ],
    ids=["its folder is missing", "not known to the system"],
)
def test_a_user_without_a_home(pipeline, tmp_path, user, reason):
    project = copy_with(pipeline, tmp_path, "data/alexnet", "data/photo.png")
    result = execute(project, *user, *commands()["download_mnist"])
    assert result.returncode == 1
    [message] = result.stderr.splitlines()
    assert message.startswith("error: no folder for downloads: ") and reason in message
    assert message.endswith("; set XDG_CACHE_HOME to a writable one")
    assert execute(project, "git", "status", "--porcelain", "--ignored", "data/mnist").stdout == ""
    # DVC wants a home and a name, be they invented.
    invented = ("HOME=/proc/none", "USER=somebody", "dvc", "repro", "--single-item", "alexnet_maps")
    execute(project, *user, *invented).check_returncode()
    assert_made(project, pipeline, "alexnet_maps")


def corrupt(cache: Path, content: bytes) -> None:
    """Change a bit of it in a cache as a disk does: the size, the time and the mode stay."""
    digest = md5(content).hexdigest()
    path = cache / "files/md5" / digest[:2] / digest[2:]
    about = path.stat()
    wrong = bytearray(content)
    wrong[len(wrong) // 2] ^= 1
    path.unlink()  # other caches have links to it
    path.write_bytes(wrong)
    path.chmod(about.st_mode)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


@pytest.mark.fault("a wrong bit in the cache")
def test_a_corrupted_file_in_the_cache_is_found(project, pipeline):
    """DVC takes it for right; `make check` does not."""
    model = (project / MODEL).read_bytes()
    corrupt(project / ".dvc/cache", model)
    (project / MODEL).unlink()
    execute(project, "dvc", "checkout").check_returncode()
    assert (project / MODEL).read_bytes() != model
    assert "up to date" in execute(project, "dvc", "status").stdout
    result = execute(project, *CHECK)
    assert result.returncode == 1
    digest = md5(model).hexdigest()
    assert result.stdout.splitlines() == [
        f"removed: .dvc/cache/files/md5/{digest[:2]}/{digest[2:]}",
        f"removed: {MODEL}",
    ]
    assert "`dvc repro` or `dvc pull` brings them back" in result.stderr
    assert_as_committed(project, pipeline)
    result = execute(project, *CHECK)
    assert result.stdout == "Every file has the right digest.\n"


@pytest.mark.slow
@pytest.mark.fault("a wrong bit on the remote")
def test_a_corrupted_file_on_the_remote_is_not_taken(pipeline, tmp_path):
    """With `verify`, as the page on sharing has it."""
    url = give(pipeline, Remote("A folder", {"/srv": str(tmp_path / "remote")}), tmp_path)
    corrupt(tmp_path / "remote/lesson", (pipeline / MODEL).read_bytes())
    execute(tmp_path, "git", "clone", "-q", url, "lesson").check_returncode()
    result = execute(tmp_path / "lesson", "dvc", "pull")
    assert result.returncode != 0 and f"failed for following targets:\n{MODEL}" in result.stderr
    assert not (tmp_path / "lesson" / MODEL).exists()
    assert_as_committed(tmp_path / "lesson", pipeline)


@pytest.mark.slow
@pytest.mark.fault("the remote gone half-way through a push")
@needs_sshd
def test_the_remote_is_gone_half_way_through_a_push(pipeline, tmp_path):
    """What it has by then is right; the next push sends the rest."""
    remote, port, command = sshd(tmp_path / "home")
    giver = copy_pipeline(pipeline, tmp_path / "giver")
    pushed, cached = tmp_path / "home/lesson/files/md5", giver / ".dvc/cache/files/md5"

    def there() -> dict[str, bytes]:
        files = {str(path.relative_to(pushed)): path for path in pushed.glob("*/*")}
        return {name: p.read_bytes() for name, p in files.items() if p.suffix != ".tmp"}

    expected = {str(path.relative_to(cached)): path.read_bytes() for path in cached.glob("*/*")}
    with (
        serving(port, *command) as server,
        stopped_at(
            "open", r"/cache/files/md5/", tmp_path / "stops", command=" push$", nth=30
        ) as stops,
    ):
        for block in (remote.commands(), *recipe("Then")):
            follow(giver, block, **remote.environment)
        environment = ENVIRONMENT | remote.environment | stops.environment
        push = subprocess.Popen(
            ("dvc", "push"), cwd=giver, env=environment, stderr=subprocess.PIPE, text=True
        )
        stopped = stops.next(push)
        kill(server)
        stopped.resume()
        message = push.communicate()[1]
    assert push.returncode != 0 and "ERROR: " in message and "Traceback" not in message
    before = there()
    assert 0 < len(before) < len(expected) and before.items() <= expected.items()
    with serving(port, *command):
        follow(giver, "dvc push", **remote.environment)
    assert there() == expected


ON_A_SMALL_DISK = """
mount -t tmpfs -o size=2m tmpfs "$1" && ln -s "$PWD/stages" "$PWD/params.yaml" "$1" && cd "$1" &&
mkdir data && ln -s "$2" data/mnist && exec "$3" -m stages.split_digits data/digits.safetensors
"""


def test_a_full_disk_is_named(downloads, tmp_path):
    """The digits need 10 MB, and the disk, in a mount namespace of its own, has 2 MB."""
    unshare = ("unshare", "--mount", "--map-root-user", "sh", "-c", ON_A_SMALL_DISK, "sh")
    result = execute(ROOT, *unshare, str(tmp_path), str(downloads / "data/mnist"), sys.executable)
    assert result.returncode == 1
    assert result.stderr == "error: data/digits.safetensors: No space left on device\n"
