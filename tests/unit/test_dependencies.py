"""dvc.yaml names the code that each stage runs: its module, and the rooms of stages/core that it
imports, directly or not."""

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def imported(module: Path) -> set[Path]:
    """The modules of ours that a module imports, at its top or anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        paths = (ROOT.joinpath(*name.split(".")).with_suffix(".py") for name in names if name)
        found |= {path for path in paths if path.exists()}
    return found


def all_imported(module: Path) -> set[Path]:
    """With those that they import in turn."""
    found, waiting = set(), [module]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += imported(path)
    return found


def needed(stage: str) -> set[str]:
    modules = {path.relative_to(ROOT) for path in all_imported(ROOT / f"stages/{stage}.py")}
    return {str(path if path.parent == Path("stages") else path.parent) for path in modules}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_rooms_that_it_imports(stage):
    deps = STAGES[stage].get("do", STAGES[stage])["deps"]
    declared = {dep for dep in deps if dep.startswith("stages/")}
    assert not (missing := needed(stage) - declared), f"dvc.yaml: {stage} lacks {missing}"
    assert not (extra := declared - needed(stage)), f"dvc.yaml: {stage} lists in vain {extra}"


def test_the_walk_finds_imports_of_every_kind(tmp_path):
    module = tmp_path / "module.py"
    module.write_text(
        "import stages.core.base.files\n"
        "from stages.core.page import chart\n"
        "def main():\n    from stages.core.data.idx import read_idx\n",
        encoding="utf-8",
    )
    found = {str(path.relative_to(ROOT)) for path in imported(module)}
    assert found == {f"stages/core/{name}.py" for name in ("base/files", "page/chart", "data/idx")}


def test_rooms_know_no_stage_and_stages_know_no_other():
    for path in (ROOT / "stages").rglob("*.py"):
        folders = {str(other.relative_to(ROOT / "stages").parent) for other in imported(path)}
        if path.is_relative_to(ROOT / "stages/tools"):
            assert "." not in folders, path
        else:
            assert not {".", "tools"} & folders, path
