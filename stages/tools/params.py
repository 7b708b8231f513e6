"""params.yaml as a whole, checked before DVC starts: DVC's own messages would not name the key, and
a stage would find what is wrong only when its turn comes, or not at all."""

import re
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from dvc.utils.serialize import load_yaml

from stages.core.base.errors import InputError
from stages.core.base.params import PARAMS, Name, read_all, validated
from stages.core.base.values import flatten
from stages.core.data.folder import digested_files

GRAPH = Path("dvc.yaml")  # DVC's name for it
LOCK = Path("dvc.lock")  # the same

# What stages read sections as. Importing some of these modules takes seconds.
KINDS = {
    "digits": "stages.split_digits:SplitParams",
    "train": "stages.train:SnapshotParams",
    "models.*": "stages.train:ModelParams",
    "embed": "stages.embed_digits:EmbedParams",
    "weight_grid": "stages.weight_grid:WeightGridParams",
    "exciting_patches": "stages.exciting_patches:ExcitingPatchesParams",
    "photo": "stages.prepare_photo:PhotoParams",
    "convolve": "stages.convolve:ConvolveParams",
    "alexnet_maps": "stages.alexnet_maps:AlexNetMapsParams",
    "data_efficiency": "stages.data_efficiency:DataEfficiencyParams",
    "images": "stages.embed_images:ImagesParams",
    "classify_images": "stages.classify_images:ClassifyImagesParams",
    "alexnet_patches": "stages.alexnet_patches:AlexNetPatchesParams",
    "ideal_inputs": "stages.ideal_inputs:IdealInputsParams",
    "alexnet_ideal_inputs": "stages.alexnet_ideal_inputs:AlexNetIdealInputsParams",
    "principal_axes": "stages.principal_axes:PrincipalAxesParams",
    "attributions": "stages.attributions:AttributionsParams",
    "image_attributions": "stages.image_attributions:ImageAttributionsParams",
}


def read_graph() -> str:
    """The text of dvc.yaml; empty if it cannot be read, which DVC will say."""
    try:
        return GRAPH.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def check_params(*, there: bool = False) -> None:
    """Check what dvc.yaml takes from params.yaml.

    Raises InputError unless the sections that it goes through have entries, with names that the
    shell takes as they are, and the parameters that it has as dependencies are paths. Before a run,
    they must be of something that is `there`, or that a stage makes.
    """
    values, graph, section = read_all(), read_graph(), ""
    for line in graph.splitlines():
        if named := re.fullmatch(r" *foreach: \$\{([\w.]+)\}", line):
            section = named[1]
            if not validated(values, section, dict[Name, object]):
                raise InputError(f"{PARAMS}: {section} is empty; it should have one entry or more")
        elif path := re.fullmatch(r" *- \$\{([\w.]+)\}", line):
            check_path(path[1], validated(values, path[1], object), graph, there)
        elif there and (part := re.fullmatch(r" *- (\S*)\$\{item\.(\w+)\}(\S*)", line)):
            for name in validated(values, section, dict):
                full = f"{section}.{name}.{part[2]}"
                check_part(full, validated(values, full, str), part[1], part[3], graph)


def check_path(name: str, value: Any, graph: str, there: bool) -> None:
    """Raises InputError unless the parameter is the path of something that DVC can digest."""
    if not isinstance(value, str) or not value.strip():
        shown = "empty" if value is None or value == "" else repr(value)
        raise InputError(
            f"{PARAMS}: {name} is {shown}; it should be a path, in quotes if it is a number"
        )
    path = Path(value)
    if path.exists() and not (path.is_file() or path.is_dir()):  # DVC would read it for ever
        raise InputError(f"{PARAMS}: {name} is {value}, which is neither a file nor a folder")
    is_made = any(f"- {above.as_posix()}\n" in graph for above in (path, *path.parents))
    if there and not is_made and not path.exists():
        raise InputError(f"{PARAMS}: {name} is {value}, but there is no such file or folder")
    if there and path.is_dir():
        for file in (path / below for below in digested_files(path).paths):
            if problem := undigestible(file):
                raise InputError(
                    f"{PARAMS}: {name}: {file} {problem}; remove it, or name it in .dvcignore"
                )


def undigestible(path: Path) -> str:
    """Why DVC cannot digest what a folder has there; empty if it can."""
    if not path.is_file():
        return "is neither a file nor a folder" if path.exists() else "is a link that leads nowhere"
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return "has a name that is not UTF-8"
    return ""


def check_part(name: str, value: str, before: str, after: str, graph: str) -> None:
    """Raises InputError unless the parameter, between what stands `before` and `after` it, is a
    path that a stage makes, or that is there."""
    pattern = rf"^ *- {re.escape(before)}([\w-]+){re.escape(after)}:?$"
    choices = dict.fromkeys(re.findall(pattern, graph, re.MULTILINE))
    if value not in choices and not Path(f"{before}{value}{after}").exists():
        allowed = " or ".join(choices)
        raise InputError(f"{PARAMS}: {name} is {value!r}; it should be {allowed}")


def check_sections() -> None:
    """Check that the sections of params.yaml have what the stages read, in range, and nothing else.

    Raises InputError that names each wrong key of a section. One that is as in dvc.lock is right:
    its stage has read it.
    """
    values, recorded, graph = read_all(), in_lock(), read_graph()
    for section, kind in KINDS.items():
        if kind.partition(":")[0] not in graph:
            continue  # somebody has removed the stage
        above, each, _ = section.partition(".*")
        keys = validated(values, above, dict) if each else ()
        for name in [f"{above}.{key}" for key in keys] or [above]:
            here = flat(validated(values, name, object), name)
            if here != {pair for pair in recorded if f"{pair[0]}.".startswith(f"{name}.")}:
                validated(values, name, resolve_name(kind))


def flat(value: Any, section: str = "") -> set[tuple[str, str]]:
    """The full names in a section, each with its value as text."""
    return {(name, repr(value)) for name, value in flatten(value, section).items()}


def in_lock() -> set[tuple[str, str]]:
    """The same of all parameters that stages in dvc.lock were run with."""
    try:
        stages = load_yaml(LOCK)["stages"].values()
        return set().union(*(flat(stage.get("params", {}).get(PARAMS.name)) for stage in stages))
    except Exception:  # whatever is wrong with the file, DVC will say so
        return set()
