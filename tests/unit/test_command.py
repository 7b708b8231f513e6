"""The stages as commands, and their writing of files."""

import os
import re
import shutil
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path

import pytest
import yaml

from stages.core.base.errors import InputError
from stages.core.base.files import new_file, new_folder
from stages.core.base.values import flatten

from common.graph import commands, graph
from common.parameters import read
from common.project import ROOT, execute

STAGES = {stage.name: stage for stage in graph()}
FIGURES = {
    plot
    for plot in yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["plots"]
    if isinstance(plot, str)  # a picture; the others are columns of tables
}

# Asks modules one after the other for their help, each as `python -m` does it, and then names the
# packages that they have imported.
HELPED = """
import runpy, sys
for module in sys.argv[1:]:
    sys.argv = [module, "--help"]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        assert end.code == 0
print("imported:", *{"torch", "torchvision", "matplotlib"} & sys.modules.keys())
"""


def packages(stage):
    """Those that a stage needs, by what dvc.yaml says of it."""
    deps = {dep.def_path for dep in stage.deps}
    draws = any(
        (out.plot and out.def_path.endswith(".png"))
        or any(f.startswith(f"{out.def_path}/") for f in FIGURES)
        for out in stage.outs
    )
    uses = {
        "torch": "stages/core/exact" in deps,
        "torchvision": "stages/core/alexnet" in deps,
        "matplotlib": draws,
    }
    return frozenset(package for package, used in uses.items() if used)


def modules():
    """The modules of the stages, by the packages that they need."""
    found = defaultdict(set)
    for name, stage in STAGES.items():
        found[packages(stage)].add(commands()[name][2])
    return found


@pytest.mark.parametrize(
    "needed", sorted(modules(), key=sorted), ids=lambda needed: "+".join(sorted(needed)) or "none"
)
def test_every_stage_has_help_and_imports_what_it_uses(needed):
    """Importing torch, torchvision or matplotlib takes a second; it is for those who draw on it."""
    names = sorted(modules()[needed])
    result = execute(ROOT, sys.executable, "-c", HELPED, *names, COLUMNS="1000")
    assert result.returncode == 0, result.stderr
    usages = [line for line in result.stdout.splitlines() if line.startswith("usage: ")]
    assert [usage.split()[3:5] for usage in usages] == [[name, "[-h]"] for name in names]
    for name, usage in zip(names, usages, strict=True):
        given = [len(words) - 3 for words in commands().values() if words[2] == name]
        assert set(given) == {len(usage.split()) - 5}, name
    assert set(result.stdout.splitlines()[-1].split()[1:]) == needed


EXAMPLE = '''
"""What it is for,
in two lines."""
from pathlib import Path
from stages.core.base.command import run

def main(name: str, count: int, out: Path) -> None:
    print(repr((name, count, out)))

if __name__ == "__main__":
    run(main)
'''


@pytest.fixture
def example(tmp_path):
    """Run a command whose `main` takes a text, a number and a path."""
    (tmp_path / "example.py").write_text(EXAMPLE, encoding="utf-8")
    return partial(execute, tmp_path, sys.executable, "-m", "example", PYTHONPATH=str(ROOT))


def test_arguments_are_those_of_main(example):
    result = example("a b", "3", "x/y.png")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "('a b', 3, PosixPath('x/y.png'))\n"
    usage, *rest = example("--help").stdout.splitlines()
    assert usage == "usage: python -m example [-h] name count out"
    assert rest[1:3] == ["What it is for,", "in two lines."]


def test_letters_that_a_terminal_lacks_are_printed_as_numbers(example):
    result = example("− é", "3", "x", PYTHONIOENCODING="ascii")
    assert result.stdout == r"('\u2212 \xe9', 3, PosixPath('x'))" + "\n"


def test_a_reader_that_has_seen_enough_is_no_error():
    """Such as `head`."""
    code = (
        "import os, sys; import stages.core.base.command; from stages.core.base.errors import *\n"
        "read, write = os.pipe(); os.dup2(write, 1); os.close(read); os.close(write)\n"
        "with explained(): print('all is well', flush=True)"
    )
    result = execute(ROOT, sys.executable, "-c", code)
    assert (result.returncode, result.stderr) == (1, "")


@pytest.mark.fault("a standard output that is full or closed")
@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize(
    ("act", "line"),
    [
        ("say('a')", "error: standard output: No space left on device"),
        ("print('a')", "error: .*No space left on device"),
        ("say('a'); sys.exit(3)", "error: standard output: No space left on device"),
        ("raise InputError('bad')", "error: bad"),
        ("raise OSError(28, 'No space left on device', 'x')", "error: x: No space left on device"),
    ],
)
def test_a_standard_output_that_is_full_is_one_line(act, line, buffered):
    code = (
        "import sys, stages.core.base.command; from stages.core.base.errors import *\n"
        f"with explained(): {act}"
    )
    command = ("sh", "-c", 'exec "$@" > /dev/full', "sh", sys.executable, "-c", code)
    result = execute(ROOT, *command, PYTHONUNBUFFERED=buffered)
    assert result.returncode == 1 and re.fullmatch(f"{line}\n", result.stderr), result.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "the following arguments are required: name, count, out"),
        (("a", "3"), "the following arguments are required: out"),
        (("a", "3", "x", "y"), "unrecognized arguments: y"),
        (("a", "3", "x", "--fast"), "unrecognized arguments: --fast"),
        (("a", "three", "x"), "argument count: invalid int value: 'three'"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_status_1(example, arguments, problem):
    result = example(*arguments)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"error: {problem}; see python -m example --help\n"


@pytest.mark.fault("too little memory, or too few threads")
@pytest.mark.parametrize(
    ("act", "limit", "line"),
    [
        ("bytearray(2**60)", "unlimited", "error: not enough memory"),
        ("import numpy; numpy.zeros(2**60, bool)", "unlimited", "error: not enough memory"),
        (
            "import torch; torch.zeros(2**58)",
            "unlimited",
            "error: not enough memory",
        ),
        (
            "import torch",
            "1000000",
            "error: not enough memory: `ulimit -v` allows 1000000 KiB",
        ),
        (
            "raise OSError(12, 'Cannot allocate memory')",
            "900000",
            "error: not enough memory: `ulimit -v` allows 900000 KiB",
        ),
        (
            "raise RuntimeError('can\\'t start new thread')",
            "unlimited",
            "error: no more threads: `ulimit -u`, or the memory, is used up",
        ),
    ],
)
@pytest.mark.parametrize("where", ["top", "main"])
def test_what_the_machine_lacks_is_one_line(tmp_path, act, limit, line, where):
    """At the top of a module, as it is imported, or while it runs."""
    if where == "top":
        text = EXAMPLE.replace("def main", f"{act}\ndef main")
    else:
        text = EXAMPLE.replace("print(repr((name, count, out)))", act)
    (tmp_path / "example.py").write_text(text, encoding="utf-8")
    command = f"ulimit -v {limit} && {sys.executable} -m example a 1 b"
    result = execute(tmp_path, "bash", "-c", command, PYTHONPATH=str(ROOT))
    assert (result.returncode, result.stdout, result.stderr) == (1, "", f"{line}\n")


@pytest.mark.fault("a module or package that is missing")
@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("no_such_package", f"it is not installed for {sys.executable}: activate .venv, or run"),
        ("stages.core.nothing", "does git know its file, and dvc.yaml its folder"),
    ],
)
def test_a_missing_module_is_one_line_that_says_where_and_how(tmp_path, name, remedy):
    (tmp_path / "example.py").write_text(
        EXAMPLE.replace("def main", f"import {name}\ndef main"), encoding="utf-8"
    )
    words = (sys.executable, "-m", "example", "a", "1", "b")
    result = execute(tmp_path, *words, PYTHONPATH=str(ROOT))
    assert (result.returncode, result.stdout) == (1, "")
    [line] = result.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path}/example.py, line 7: no module {name}: {remedy}")


def test_other_faults_of_ours_are_tracebacks(tmp_path):
    (tmp_path / "example.py").write_text(
        EXAMPLE.replace("def main", "1 / 0\ndef main"), encoding="utf-8"
    )
    result = execute(tmp_path, sys.executable, "-m", "example", PYTHONPATH=str(ROOT))
    assert result.returncode == 1
    assert result.stderr.startswith("Traceback") and "ZeroDivisionError" in result.stderr


def test_a_failure_is_one_line_and_exit_status_1(tmp_path):
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    _, *words = commands()["split_digits"]
    result = execute(tmp_path, sys.executable, *words)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "error: params.yaml: No such file or directory\n"


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "folder/file"
    with new_file(path) as file:
        file.write(b"first")
        assert not path.exists()
    assert path.read_bytes() == b"first"
    with pytest.raises(ValueError, match="half-way"), new_file(path) as file:
        file.write(b"sec")
        raise ValueError("half-way")
    assert path.read_bytes() == b"first"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_process_that_should_have_ended_does_no_harm(tmp_path):
    """One that outlives a killed `dvc`, and writes what the next `dvc repro` writes anew."""
    path = tmp_path / "file"
    with pytest.raises(FileNotFoundError), new_file(path) as old:
        old.write(b"old")
        with new_file(path) as new:
            new.write(b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_an_output_that_is_linked_to_a_cache_is_replaced(tmp_path):
    cached = tmp_path / "cached"
    cached.write_bytes(b"cached")
    path = tmp_path / "file"
    path.hardlink_to(cached)
    with new_file(path) as file:
        file.write(b"new")
    assert (path.read_bytes(), cached.read_bytes()) == (b"new", b"cached")


@pytest.mark.fault("a device or a pipe where a file is to be written")
def test_a_device_or_a_pipe_is_not_replaced(tmp_path):
    """As /dev/null would be, for root."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for new in (new_file, new_folder):
        with pytest.raises(FileExistsError, match="neither a file nor a folder"), new(pipe):
            pass
    assert pipe.is_fifo() and [*tmp_path.iterdir()] == [pipe]


@pytest.mark.parametrize("path", ["", "/", "folder"])
def test_a_folder_in_place_of_a_file_is_named(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    with pytest.raises(IsADirectoryError) as caught, new_file(Path(path)):
        pass
    assert caught.value.filename == Path(path)


@pytest.mark.parametrize("linked", ["folder", "file", "nothing"])
def test_a_link_is_replaced_by_a_folder(tmp_path, linked):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/old").touch()
    (tmp_path / "file").touch()
    path = tmp_path / "link"
    path.symlink_to(linked)
    with new_folder(path) as folder:
        (folder / "new").touch()
    assert [p.name for p in path.iterdir()] == ["new"] and not path.is_symlink()
    assert (tmp_path / "folder/old").exists() and (tmp_path / "file").exists()


@pytest.mark.parametrize("setting", ["TQDM_MININTERVAL=soon", "TQDM_NCOLS=wide"])
def test_settings_of_the_bar_that_are_none_do_not_count(setting):
    code = "import stages.core.base.command; from stages.core.base.progress import progress\n"
    code += "with progress(1, 'x') as bar: bar.update(1)"
    result = execute(ROOT, "env", setting, sys.executable, "-c", code)
    assert (result.returncode, result.stderr) == (0, "0 of 1 x\n1 of 1 x\n")


def test_a_standard_error_that_is_closed_is_no_error():
    code = "from stages.core.base.progress import progress\nwith progress(1, 'x'): pass"
    result = execute(ROOT, "sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-c", code)
    assert result.returncode == 0


def test_an_operation_takes_one_thread_unless_the_user_says_otherwise():
    def threads(code, *settings):
        code = f"import os, stages.core.base.command; print(os.environ['OMP_NUM_THREADS']); {code}"
        command = ("env", "--unset=OMP_NUM_THREADS", *settings, sys.executable, "-c", code)
        return execute(ROOT, *command).stdout.split()

    assert threads("import torch; print(torch.get_num_threads())") == ["1", "1"]
    assert threads("", "OMP_NUM_THREADS=3") == ["3"]


def test_every_stage_module_is_in_the_graph():
    found = {f"stages.{path.stem}" for path in (ROOT / "stages").glob("*.py")}
    assert {words[2] for words in commands().values()} == found
    for name, words in commands().items():
        stage, _, model = name.partition("@")
        assert words[:3] == ["python", "-m", f"stages.{stage}"]
        assert not model or words[3] == model


@pytest.mark.parametrize("name", STAGES)
def test_what_a_stage_reads_and_writes_is_on_its_command_line(name):
    """But for photographs and images, which params.yaml names."""
    stage = STAGES[name]
    paths = {Path(word) for word in commands()[name][4 if "@" in name else 3 :]}
    values = {value for value in flatten(read()).values() if isinstance(value, str)}
    reads = {dep.def_path for dep in stage.deps} - values - {"params.yaml"}
    listed = {Path(path) for path in reads if not path.startswith("stages/")}
    listed |= {Path(out.def_path) for out in stage.outs}

    def related(one, other):  # the same, or one is a folder with the other
        return one in (other, *other.parents) or other in one.parents

    assert all(any(related(path, data) for data in listed) for path in paths)
    assert all(any(related(path, data) for path in paths) for data in listed)


def test_a_command_may_end_in_a_comment_where_no_shell_takes_it_off(tmp_path):
    """As on Windows: some commands in dvc.yaml repeat parameters in a comment."""
    commented = {name for name, stage in STAGES.items() if "#" in stage.cmd}
    assert commented >= {"convolve", "train@cnn"}
    words = ("python", "-m", "stages.prepare_photo", str(tmp_path / "photo.png"))
    result = execute(ROOT, *words, "#", "--conv1.kind", "conv")
    assert result.returncode == 0, result.stderr
    assert execute(ROOT, *words, "--conv1.kind", "conv").returncode == 1


def test_several_stages_at_a_time_are_refused_where_locks_are_not_inherited(monkeypatch):
    """Of what is imported then, the rest would run there, too: `make lint` checks."""
    from stages.tools import repro

    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(InputError, match="on Windows, stages run one at a time: --jobs 1"):
        repro.run_stages(2, None)
