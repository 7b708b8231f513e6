"""Pythons to run the stages with: under emulated processors, under settings, and with other
versions of PyTorch. Each function makes one in an empty folder, and returns the command of it.

The one for 64-bit ARM is Debian's, with its libraries, unpacked into the folder; nothing is
installed, and the machine's own lists of packages stay as they are.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from common.project import ROOT

Command = tuple[str, ...]
Maker = Callable[[Path], Command]

LIBRARIES = ("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6", "libgomp1")  # for wheels
ON_ARM = ("torch==2.8.0", "torchvision==0.23.0")  # for CPUs only there, so no gigabytes for GPUs
FOR_CPUS = ("torch==2.13.0+cpu", "torchvision===0.28.0")

# That torchvision is built for GPUs: without them it does not find its operators, and imports only
# if these are declared.
OPERATORS = """
for name in ("nms", "qnms"):
    torch.library.define(f"torchvision::{name}", "(Tensor a, Tensor b, float c) -> Tensor")
"""

# Where this machine's numpy is told about its processor, an emulated one must ask anew.
ASKED_ITSELF = ("-U", "OPENBLAS_CORETYPE", "-U", "OPENBLAS_L2_SIZE")

APT = """
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
APT::Architecture "arm64";
APT::Architectures "arm64";
APT::Install-Recommends "false";
APT::Sandbox::User "";
APT::Update::Error-Mode "any";
Debug::NoLocking "true";
Dir::Cache "{folder}/cache";
Dir::State::Lists "{folder}/lists";
Dir::State::Status "/dev/null";
Dir::Log "{folder}/log";
"""


class Unavailable(Exception):
    """This machine has not what is needed; the message says what that is."""


NO_PACKAGES = "apt finds no python3.11 for arm64: Debian 12 has it"
LACKS = {  # by what is in the message of a command that failed
    r"resolving|[Cc]ould not connect|dns error|NewConnectionError": "no network",
    r"Unable to locate package|404 +Not Found": NO_PACKAGES,  # Ubuntu has them on another server
    r"No matching distribution found for torch.*\+cpu": f"pip finds no {FOR_CPUS[0]}: name "
    "PyTorch's index for CPUs in PIP_EXTRA_INDEX_URL",
}


def execute(*command: str | Path) -> None:
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        for pattern, lack in LACKS.items():
            if re.search(pattern, result.stderr):
                raise Unavailable(lack)
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{result.stderr}")


def check_installed(package: str, *programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            raise Unavailable(f"no {program}: install {package}")


def native(**environment: str) -> Maker:
    """This Python, with these settings."""
    settings = (f"{name}={value}" for name, value in environment.items())
    return lambda folder: ("env", *settings, sys.executable)


def emulated(cpu: str) -> Maker:
    """This Python on another processor of the same architecture."""

    def make(folder: Path) -> Command:
        check_installed("qemu-user", "qemu-x86_64")
        return ("qemu-x86_64", *ASKED_ITSELF, "-cpu", cpu, sys.executable)

    return make


def with_older_torch(folder: Path) -> Command:
    """This Python with a PyTorch that is built for CPUs only, and with its torchvision."""
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps")
    execute(*pip, "--target", folder, *FOR_CPUS)
    return ("env", f"PYTHONPATH={folder}", f"SETTINGS={OPERATORS}", sys.executable)


def with_own_torch(folder: Path) -> str:
    """A Python of somebody who has installed a PyTorch for CPUs only, and the torchvision of it."""
    subprocess.run((sys.executable, "-m", "venv", folder), check=True)
    python = str(folder / "bin/python")
    pip = (python, "-m", "pip", "install", "--quiet")
    torch, torchvision = FOR_CPUS
    execute(*pip, torch, "numpy", "pillow")
    execute(*pip, "--no-deps", torchvision)
    [module] = folder.glob("lib/python*/site-packages/torchvision/__init__.py")
    text = f"import torch\n{OPERATORS}\n{module.read_text(encoding='utf-8')}"
    module.write_text(text, encoding="utf-8")
    return python


def on_arm(folder: Path) -> Command:
    """Debian's Python for 64-bit ARM, and the locked packages but an older PyTorch."""
    check_installed("qemu-user", "qemu-aarch64")
    check_installed("Debian's apt and dpkg", "apt-get", "dpkg")
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    settings = folder / "apt.conf"
    settings.write_text(APT.format(folder=folder), encoding="utf-8")
    apt = ("apt-get", "--config-file", settings, "--quiet")
    execute(*apt, "update")
    execute(*apt, "install", "--yes", "--download-only", *LIBRARIES)
    for package in (folder / "cache/archives").glob("*.deb"):
        execute("dpkg", "--extract", package, folder / "root")

    requirements = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    locked = re.findall(r"^[\w.-]+==\S+", requirements, re.MULTILINE)
    others = [line for line in locked if not line.startswith(("torch==", "torchvision=="))]
    (folder / "locked.txt").write_text("\n".join(others), encoding="utf-8")
    (folder / "replaced.txt").write_text("\n".join(ON_ARM), encoding="utf-8")
    platform = ("--python-platform", "aarch64-manylinux_2_28", "--python-version", "3.11")
    execute(
        *(sys.executable, "-m", "uv", "pip", "install", "--quiet", *platform),
        *("--target", folder / "packages", "--requirements", ROOT / "pyproject.toml"),
        *("--constraints", folder / "locked.txt", "--overrides", folder / "replaced.txt"),
    )
    root = folder / "root"
    return (
        *("qemu-aarch64", *ASKED_ITSELF, "-E", f"PYTHONPATH={folder / 'packages'}"),
        *("-L", str(root), str(root / "usr/bin/python3.11")),
    )
