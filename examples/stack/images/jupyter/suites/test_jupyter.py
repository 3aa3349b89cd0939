"""A notebook, run by the image's own kernel. Needs no network."""

import nbformat
from nbclient import NotebookClient


def test_a_notebook_runs():
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("import numpy as np, pandas as pd"),
            nbformat.v4.new_code_cell("pd.DataFrame({'x': np.arange(4)})['x'].sum().item()"),
        ]
    )
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    assert notebook.cells[1].outputs[0].data["text/plain"] == "6"
