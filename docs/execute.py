"""Execute notebooks and keep what they show, as `make notebooks` does.

    python -m docs.execute docs/notebooks/*.ipynb

Times, counts of executions and the version of Python are not kept: a notebook changes where its
code or its pictures do. The documentation shows notebooks as they are committed; the tests execute
them anew.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from naflow.atomic import replacing

LIMIT = 300  # seconds for a cell


def executed(path: Path, folder: Path) -> nbformat.NotebookNode:
    """The notebook with the outputs of a fresh kernel that runs in a folder.

    Raises nbclient.exceptions.CellExecutionError, with the cell and its traceback, where one fails.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=LIMIT,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count = None
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = None
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def main(paths: list[str]) -> None:
    """Execute each notebook in its own folder, and write it, whole or not at all."""
    for path in map(Path, paths):
        notebook = executed(path, path.parent)
        with replacing(path) as partial:
            nbformat.write(notebook, partial)


if __name__ == "__main__":
    main(sys.argv[1:])
