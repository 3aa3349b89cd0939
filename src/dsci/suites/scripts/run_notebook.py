"""Runs one notebook inside an image, by the kernel that it names, through the image's own jupyter_client.

Arguments: the notebook, the JSON file to write, the seconds that a cell may take, what is said of one that takes more,
and both for all cells together. It writes
`{"verdict": "passed" or "failed", "detail": what went wrong, "process": whether the kernel's own output says more}`.
It works with Python 3.8 and with jupyter_client from version 6 on, which ipykernel brings.

Which cells run and which errors count is as nbclient and nbmake have it: https://nbclient.readthedocs.io and
https://github.com/treebeardtech/nbmake. The outputs that the notebook holds are not compared.
"""

import json
import os
import queue
import signal
import sys
import time

#: Seconds: for the kernel's last outputs once it has answered, between two looks at it, for it to begin.
OUTPUTS, LOOK, BEGIN = 4, 0.5, 60
#: Characters of a traceback, of what a cell printed, of a line of its source; lines of its source.
TRACEBACK, PRINTED, WIDTH, LINES = 8000, 2000, 160, 15


class Failed(Exception):
    """Why the notebook has not passed."""

    def __init__(self, why, process=False):
        Exception.__init__(self, why)
        self.process = process


class Late(BaseException):
    """Time is up. Nothing on the way may take it for an error of its own."""


def give_up(*_):
    raise Late


def alarm(seconds):
    """Have Late raised so many seconds from now, whatever is being waited for."""
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))


def read(path):
    """The notebook, as far as it must be known."""
    try:
        with open(path, encoding="utf-8") as file:
            notebook = json.load(file)
    except ValueError as error:
        raise Failed(f"this is no notebook: {error}") from None
    version = notebook.get("nbformat") if isinstance(notebook, dict) else None
    if version != 4:
        convert = "convert it: jupyter nbconvert --to notebook --nbformat 4 --inplace FILE"
        raise Failed(f"a notebook in nbformat {version}, and only 4 can be run: {convert}")
    cells, metadata = notebook.get("cells"), notebook.get("metadata", {})
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise Failed("this is no notebook: it has no list of cells")
    if not isinstance(metadata, dict):
        raise Failed("this is no notebook: its metadata is no object")
    return cells, metadata


def section(metadata, name):
    """An object in the metadata; an empty one where there is none."""
    found = metadata.get(name)
    return found if isinstance(found, dict) else {}


def source_of(cell):
    """A cell's source, which is a text or a list of texts."""
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(str(line) for line in source)


def start(metadata, until):
    """The kernel that the notebook names, begun in this folder, and what speaks to it."""
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
        from jupyter_client.manager import start_new_kernel
    except ImportError as error:
        python = f"{sys.executable} (Python {sys.version.split()[0]})"
        raise Failed(
            f"the image cannot run notebooks: its {python} has no jupyter_client, which Jupyter and ipykernel bring"
            f" ({error})"
        ) from None
    name = str(section(metadata, "kernelspec").get("name") or "python3")
    known = KernelSpecManager()
    try:
        known.get_kernel_spec(name)
    except NoSuchKernel:
        there = ", ".join(sorted(known.find_kernel_specs())) or "none"
        raise Failed(f"the image has no kernel {name!r}; it has: {there}") from None
    try:
        return start_new_kernel(startup_timeout=min(BEGIN, until - time.monotonic()), kernel_name=name)
    except Exception as error:
        raise Failed(f"the kernel {name!r} did not start: {error}", process=True) from None


def message(get, seconds):
    """The next message of a channel, or None when there is none for so long."""
    try:
        return get(timeout=seconds)
    except queue.Empty:
        return None


def execute(manager, client, source, printed):
    """Run a cell; gives its error, or None, and puts what it printed into a list.

    Raises ChildProcessError where the kernel died, EOFError where it asks for input.
    """
    asked = client.execute(source, store_history=True, allow_stdin=False, stop_on_error=False)
    error, answered, idle = None, None, False
    while not (idle and answered):
        if answered and time.monotonic() > answered + OUTPUTS:
            break  # Its outputs were more than the channel holds, and its last word was lost with them.
        told = None if idle else message(client.get_iopub_msg, LOOK)
        if told is not None:
            if told["parent_header"].get("msg_id") != asked:
                continue
            content = told["content"]
            if told["msg_type"] == "stream":
                printed[:] = ["".join([*printed, content.get("text", "")])[-PRINTED:]]
            elif told["msg_type"] == "error":
                error = content
            elif told["msg_type"] == "status":
                idle = content.get("execution_state") == "idle"
            continue
        if message(client.get_stdin_msg, 0) is not None:
            raise EOFError  # Some kernels ask though they were told that nobody answers.
        reply = message(client.get_shell_msg, LOOK if idle else 0)
        if reply is not None and reply["parent_header"].get("msg_id") == asked:
            answered = time.monotonic()
            if reply["content"].get("status") != "ok":
                error = error or reply["content"]
        elif reply is None and not manager.is_alive():
            raise ChildProcessError
    return error


def ended(manager):
    """How the kernel's process ended, as far as it can be told."""
    process = getattr(getattr(manager, "provisioner", None), "process", None) or getattr(manager, "kernel", None)
    code = getattr(process, "returncode", None)
    if code is None:
        return ""
    if code >= 0:
        return f" with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f" by {name}" + (", as when memory runs out" if code == -signal.SIGKILL else "")


def shown(source):
    """The beginning of a cell's source, indented."""
    lines = source.strip("\n").split("\n")
    kept = ["    " + line[:WIDTH] for line in lines[:LINES]]
    return "\n".join(kept + ["    ..."] * (len(lines) > LINES))


def seconds_of(value):
    """A limit in seconds as nbclient reads it: none where it is missing, null, zero or negative."""
    if value is None or value is False:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Failed(f"execution.timeout in the notebook's metadata is {value!r}, not a number of seconds")
    return value if value > 0 else None


def run(path, until, whole_late, limit, late):
    """Run the notebook's cells in order, until one fails. Raises Failed, and Late where no cell runs."""
    cells, metadata = read(path)
    execution = section(metadata, "execution")
    own = seconds_of(execution.get("timeout"))
    if own is not None and own < limit:
        limit, late = own, f"still running after {own:g} s, its execution.timeout"
    ran = 0
    manager, client = start(metadata, until)
    for number, cell in enumerate(cells, 1):
        source = source_of(cell)
        tags = section(cell, "metadata").get("tags")
        tags = tags if isinstance(tags, list) else []
        if cell.get("cell_type") != "code" or not source.strip() or "skip-execution" in tags:
            continue
        ran += 1
        # A cell that must raise and does not is fine, as it is with nbclient.
        allowed = execution.get("allow_errors") is True or "raises-exception" in tags
        where = f"cell {number} of {len(cells)}"
        left = until - time.monotonic()
        printed = []
        try:
            alarm(min(limit, left))
            error = execute(manager, client, source, printed)
            alarm(until - time.monotonic())
        except Late:
            why = late if limit < left else whole_late
            raise Failed(f"{where}: {why}\n\n{shown(source)}{said(printed)}") from None
        except EOFError:
            raise Failed(f"{where}: it asks for input, and nobody is there\n\n{shown(source)}{said(printed)}") from None
        except ChildProcessError:
            why = f"{where}: the kernel died{ended(manager)}\n\n{shown(source)}{said(printed)}"
            raise Failed(why, process=True) from None
        if error and not allowed:
            summary = f"{error.get('ename') or error.get('status')}: {error.get('evalue') or ''}"[:500]
            traceback = "\n".join(error.get("traceback") or ())[-TRACEBACK:]
            raise Failed(f"{where}: {summary}\n\n{shown(source)}\n\n{traceback}{said(printed)}")
    if not ran:
        raise Failed("no cell was run: it has no code, or all of it is tagged skip-execution")


def said(printed):
    """What a cell printed, as the end of a message."""
    text = "".join(printed).strip()
    return "\n\nprinted:\n" + text if text else ""


def main():
    path, record, limit, limit_late, seconds, whole_late = sys.argv[1:]
    result = {"verdict": "passed", "detail": "", "process": False}
    signal.signal(signal.SIGALRM, give_up)
    try:
        alarm(float(seconds))
        run(path, time.monotonic() + float(seconds), whole_late, float(limit), limit_late)
    except Failed as failure:
        result = {"verdict": "failed", "detail": str(failure), "process": failure.process}
    except Late:
        result = {"verdict": "failed", "detail": "its kernel did not start in time", "process": True}
    signal.setitimer(signal.ITIMER_REAL, 0)
    with open(record, "w", encoding="utf-8", errors="replace") as file:
        json.dump(result, file)
    sys.stdout.flush()
    # Nothing is waited for: the container ends with this process, and the kernel with it.
    os._exit(0)


main()
