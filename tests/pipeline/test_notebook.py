"""docs/lesson.ipynb runs in a copy of the project, and shows what its words say."""

import nbformat
import pytest
from nbclient import NotebookClient

from common.parameters import UNITS, read, value
from common.project import ENVIRONMENT, LOCK, ROOT

NOTEBOOK = ROOT / "docs/lesson.ipynb"


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def printed(cell):
    return "".join(out.text for out in cell.outputs if out.output_type == "stream")


def test_no_output_is_committed(notebook):
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.cell_type == "markdown" or not (cell.outputs or cell.execution_count)


@pytest.mark.slow
def test_it_runs_from_top_to_bottom(notebook, project, monkeypatch):
    for name in ("PATH", "JUPYTER_PLATFORM_DIRS"):
        monkeypatch.setenv(name, ENVIRONMENT.get(name, "1"))
    client = NotebookClient(
        notebook, timeout=None, resources={"metadata": {"path": project / "docs"}}
    )
    client.execute()

    cells = {cell.source: cell for cell in notebook.cells if cell.cell_type == "code"}
    for source, cell in cells.items():
        assert not [out for out in cell.outputs if out.output_type == "error"]
        if source.startswith("show("):
            pictures = [out for out in cell.outputs if "image/png" in out.get("data", {})]
            assert len(pictures) == source.count(".png")
    [made] = [cell for source, cell in cells.items() if "make repro" in source]
    assert "the page is up to date: file://" in printed(made)
    [difference] = [printed(cell) for source, cell in cells.items() if source == "!dvc exp diff"]
    units = value(read(project), UNITS)
    row = next(line for line in difference.splitlines() if UNITS in line)
    assert row.split()[-3:] == [str(units), "100", str(100 - units)]
    assert "mlp.json" in difference
    assert (project / "dvc.lock").read_bytes() == LOCK  # and back again
