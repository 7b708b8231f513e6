"""What the user's machine is set to, for other programs or by chance: locale, line endings, shell,
configuration of git, DVC and libraries. None of it changes a byte or stops a stage; where DVC
cannot work, `make` says so first."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from common.graph import commands, files_below, outs
from common.pages import copy_inputs
from common.parameters import change, change_model
from common.processes import assert_same
from common.project import COMPARE, ENVIRONMENT, REPRO, ROOT, copy_project, execute

LATIN_1, GB18030, EUC_JP, SERBIAN = (
    "en_US ISO-8859-1",
    "zh_CN GB18030",
    "ja_JP EUC-JP",
    "sr_RS UTF-8",
)
UTF_8 = "C UTF-8"  # it is always there
CHARMAPS = Path("/usr/share/i18n/charmaps")
needs_charmaps = pytest.mark.skipif(not CHARMAPS.exists(), reason="no charmaps: install locales")

TITLE = "Réseau − сигнал, ţ"  # letters that Latin-1 lacks; some that Serbian draws in its own way


@pytest.fixture
def locales(made_once) -> Path:
    """A folder with all of the above."""

    def make(folder: Path) -> None:
        folder.mkdir()
        for name in (LATIN_1, GB18030, EUC_JP, SERBIAN):
            language, letters = name.split()
            command = ("localedef", "-i", language, "-f", letters, f"./{language}.{letters}")
            execute(folder, *command).check_returncode()

    return made_once("locales", make)


def run_in(
    locale: str, locales: Path, folder: Path, *command: str, **environment: str
) -> subprocess.CompletedProcess:
    language, letters = locale.split()
    environment |= {"LOCPATH": str(locales), "LC_ALL": f"{language}.{letters}"}
    environment |= {"PYTHONUTF8": "0", "PYTHONIOENCODING": "", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT | environment, capture_output=True, encoding=letters
    )


def made_in(locale: str, locales: Path, folder: Path, stage: str) -> dict[str, bytes]:
    """What the stage makes there."""
    result = run_in(locale, locales, folder, *commands()[stage])
    assert result.returncode == 0, result.stderr
    return {str(p): p.read_bytes() for out in outs(stage) for p in files_below(folder / out)}


@needs_charmaps
@pytest.mark.fault("a locale with other letters, or another language")
@pytest.mark.parametrize(
    ("stage", "others"), [("report", [LATIN_1, EUC_JP]), ("learning_curves@mlp", [SERBIAN])]
)
def test_a_title_of_any_letters_is_the_same_in_every_locale(
    pipeline, locales, tmp_path, stage, others
):
    copy_inputs(pipeline, tmp_path)
    change_model(tmp_path, "mlp", title=TITLE)
    expected = made_in(UTF_8, locales, tmp_path, stage)
    for locale in others:
        assert made_in(locale, locales, tmp_path, stage) == expected, locale


@needs_charmaps
@pytest.mark.fault("a locale with other letters, or another language")
def test_a_message_is_in_the_letters_of_the_locale(locales, tmp_path):
    """Those that it lacks are written as numbers."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    change(tmp_path, "photo", path="small.png")
    Image.new("L", (9, 9)).save(tmp_path / "small.png")
    message = (
        "error: params.yaml: photo.path: small.png has 9 × 9 pixels; AlexNet needs 63 × 63 or "
    )
    for locale in (LATIN_1, GB18030, EUC_JP):
        result = run_in(locale, locales, tmp_path, *commands()["prepare_photo"])
        assert (result.returncode, result.stderr) == (1, f"{message}more\n")
    ascii_only = {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    result = execute(tmp_path, *commands()["prepare_photo"], **ascii_only)
    assert result.stderr.startswith(message.replace("×", r"\xd7"))


@needs_charmaps
@pytest.mark.slow
@pytest.mark.fault("a locale with other letters, or another language")
def test_images_are_named_alike_in_every_locale(pipeline, locales, tmp_path):
    copy_inputs(pipeline, tmp_path)
    change(tmp_path, "images", path="own")
    for name in ("leçon/фото.png", "leçon/猫.png", "ß.png", "z.png"):
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (90, 90), len(name)).save(tmp_path / "own" / name)
    expected = made_in(UTF_8, locales, tmp_path, "embed_images")
    for locale in (LATIN_1, GB18030, EUC_JP):
        assert made_in(locale, locales, tmp_path, "embed_images") == expected, locale


@needs_charmaps
@pytest.mark.slow
@pytest.mark.fault("a locale with other letters, or another language")
@pytest.mark.parametrize("locale", [LATIN_1, GB18030])
def test_the_pipeline_is_the_same_in_every_locale(
    emptied, small_pipeline, locales, tmp_path, locale
):
    """And no stage leaves an encoding to the locale, even where it makes no difference yet."""
    environment = {"PYTHONWARNDEFAULTENCODING": "1"}
    result = run_in(locale, locales, emptied, "dvc", "repro", **environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert_same(emptied, small_pipeline)

    change_model(emptied, "mlp", title=TITLE)
    repro = run_in(locale, locales, emptied, *REPRO, **environment)
    assert repro.returncode == 0, repro.stderr
    compare = (*COMPARE, "compare.html", "HEAD")
    compared = run_in(locale, locales, emptied, *compare, **environment)
    assert compared.returncode == 0, compared.stderr
    page = (emptied / "compare.html").read_bytes()
    run_in(UTF_8, locales, emptied, *compare).check_returncode()
    assert (emptied / "compare.html").read_bytes() == page
    for printed in (result.stderr, repro.stderr, compared.stderr):
        assert not re.search(r"/stages/.*EncodingWarning", printed)


HOSTILE = """
axes.formatter.use_locale: True
figure.dpi: 30
font.family: serif
font.size: 30
image.cmap: viridis
text.color: red
text.usetex: True
"""


@pytest.mark.fault("settings of matplotlib, torch and numpy made for other programs")
@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "TkAgg"])
def test_settings_of_libraries_matter_to_no_figure(pipeline, tmp_path, backend):
    copy_inputs(pipeline, tmp_path)
    (tmp_path / "matplotlibrc").write_text(HOSTILE, encoding="utf-8")
    broken = tmp_path / "broken"
    broken.write_bytes(b"\xff")
    stage, environment = "weight_grid@mlp", {"MPLBACKEND": backend, "MATPLOTLIBRC": str(broken)}
    if backend != "TkAgg":  # one that imports torch
        stage = "convolve"
        environment |= {"TORCH_LOGS": "misspelt", "NUMPY_MADVISE_HUGEPAGE": "misspelt"}
    for out in outs(stage):
        shutil.rmtree(tmp_path / out) if (tmp_path / out).is_dir() else (tmp_path / out).unlink()
    result = execute(tmp_path, *commands()[stage], PYTHONPATH=str(ROOT), **environment)
    assert result.returncode == 0
    assert all(" of 4 convolutions" in line for line in result.stderr.splitlines())  # its progress
    for path in (path for out in outs(stage) for path in files_below(pipeline / out)):
        assert (tmp_path / path.relative_to(pipeline)).read_bytes() == path.read_bytes()


@pytest.mark.fault("line endings of git's configuration")
@pytest.mark.parametrize("setting", ["core.autocrlf=true", "core.autocrlf=input", "core.eol=crlf"])
def test_a_clone_has_the_committed_bytes(tmp_path, setting):
    """DVC compares digests: with other line endings, every stage would run anew."""
    project, clone = copy_project(tmp_path / "project"), tmp_path / "clone"
    execute(tmp_path, "git", "clone", "-q", "-c", setting, "project", "clone").check_returncode()
    names = execute(project, "git", "ls-files", "-z").stdout.split("\0")[:-1]
    assert len(names) > 100
    for name in names:
        assert (clone / name).read_bytes() == (project / name).read_bytes(), name
    assert execute(clone, "git", "status", "--porcelain").stdout == ""


def test_dvc_leaves_git_s_index_alone(project, tmp_path):
    """Whatever the user's own configuration says: what DVC adds to it hides an edit that is made
    within the same second."""
    (tmp_path / "config").write_text("[core]\n    autostage = true\n", encoding="utf-8")
    execute(project, "git", "update-index", "--refresh")
    index = (project / ".git/index").read_bytes()
    change(project, "photo", size=100)
    repro = ("dvc", "repro", "prepare_photo")
    execute(project, *repro, DVC_GLOBAL_CONFIG_DIR=str(tmp_path)).check_returncode()
    assert (project / ".git/index").read_bytes() == index
    changes = execute(project, "git", "status", "--porcelain").stdout.splitlines()
    assert changes == [" M dvc.lock", " M params.yaml"]


def test_make_runs_stages_in_a_shell_that_exists():
    """DVC takes the one that SHELL names; and the names of files are UTF-8."""
    probe = "include Makefile\nprobe:\n\t@echo $$SHELL $$PYTHONUTF8\n"
    result = subprocess.run(
        ("make", "--file=-", "probe"),
        input=probe,
        cwd=ROOT,
        env=ENVIRONMENT | {"SHELL": "/usr/sbin/nologin", "PYTHONUTF8": "0"},
        capture_output=True,
        encoding="utf-8",
    )
    assert result.stdout == "/bin/sh 1\n", result.stderr


@pytest.fixture
def unpacked(tmp_path):
    """A folder with what `make repro` looks at before it installs anything."""

    def unpack(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file in ("Makefile", "requirements.txt"):
            shutil.copy(ROOT / file, folder)
        return folder

    return unpack


def test_make_wants_a_git_repository_before_it_installs_anything(unpacked):
    folder = unpacked("lesson")
    result = execute(folder, "make", "repro", GIT_CEILING_DIRECTORIES=str(folder.parent))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.splitlines()[0] == (
        "error: DVC needs a git repository. If this is an unpacked ZIP file, type: "
        "git init && git add . && git commit -m start"
    )
    execute(folder, "git", "init", "-q").check_returncode()
    assert execute(folder, "make", "folder").returncode == 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("it's a [lesson], 100%", ""),
        ("leçon", "warning: in a folder that has #, ? or letters beyond ASCII in its path, DVC "),
        ("a#b", "warning: "),
        ("a?b", "warning: "),
        ("урок", "warning: "),
        ("{lesson}", "error: DVC cannot work in a folder that has braces in its path\n"),
    ],
)
def test_make_says_where_dvc_cannot_work(unpacked, name, said):
    folder = unpacked(name)
    execute(folder, "git", "init", "-q").check_returncode()
    result = execute(folder, "make", "folder")
    assert result.stderr.startswith(said) and bool(result.stderr) == bool(said)
    assert result.returncode == (2 if said.startswith("error") else 0)
