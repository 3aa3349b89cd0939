"""JupyterLab as a user meets it: a server on loopback, a token, a kernel, a notebook. Needs no network."""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request

import nbformat
import pytest
from nbclient import NotebookClient

TOKEN = "only-for-this-test"


def fetch(url, token=None):
    request = urllib.request.Request(url, headers={"Authorization": f"token {token}"} if token else {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The image's own start script, in a home of its own, on a free port."""
    home = tmp_path_factory.mktemp("home")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"HOME": str(home), "JUPYTER_TOKEN": TOKEN, "JUPYTER_PORT": str(port)}
    log = home / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(["start-jupyter"], env=environment, cwd=home, stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 90
    while True:
        try:
            fetch(f"{url}/api")
            break
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                pytest.fail(f"the server did not come up:\n{log.read_text()}")
            time.sleep(0.1)
    yield url, environment
    process.terminate()
    process.wait(10)


def test_the_server_answers(server):
    url, _ = server
    assert fetch(f"{url}/api", TOKEN)["version"]


def test_the_server_wants_its_token(server):
    url, _ = server
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetch(f"{url}/api/contents")
    assert refused.value.code == 403
    assert fetch(f"{url}/api/contents", TOKEN)["type"] == "directory"


def test_the_server_offers_the_python_kernel(server):
    url, _ = server
    assert fetch(f"{url}/api/kernelspecs", TOKEN)["default"] == "python3"


def test_the_lab_is_built(server):
    url, _ = server
    request = urllib.request.Request(f"{url}/lab", headers={"Authorization": f"token {TOKEN}"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as page:
        assert b"<title>JupyterLab</title>" in page.read()


def test_the_health_check_sees_the_server(server):
    _, environment = server
    check = subprocess.run(["jupyter-healthy"], env=environment, capture_output=True, text=True)
    assert check.returncode == 0, check.stderr


def test_a_notebook_runs():
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("import numpy as np, pandas as pd"),
            nbformat.v4.new_code_cell("pd.DataFrame({'x': np.arange(4)})['x'].sum().item()"),
        ]
    )
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    assert notebook.cells[1].outputs[0].data["text/plain"] == "6"
