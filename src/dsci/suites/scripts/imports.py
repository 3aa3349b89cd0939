# Imports what was asked to be installed into this Python, each in a process of its own, and prints a line of JSON for
# each: {"package", "module", "error"}. Runs in the image under test, on Python 3.8 and newer, with nothing beside it.
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

LIMIT = 120
# Folders that wheels leave beside their packages without meaning to.
NO_MODULES = ("test", "tests", "doc", "docs", "example", "examples", "benchmark", "benchmarks", "bin", "share", "etc")


def modules(files):
    found = set()
    for path in files:
        parts = path.replace(os.sep, "/").split("/")
        name = parts[0].split(".")[0]
        code = parts[-1].endswith((".py", ".so")) and (len(parts) > 1 or parts[0] != "__init__.py")
        if code and name.isidentifier() and not name.startswith("_") and name not in NO_MODULES:
            found.add(name)
    return found


def of_pip():
    from importlib import metadata

    for each in metadata.distributions():
        # Source: https://packaging.python.org/en/latest/specifications/recording-installed-packages/#the-requested-file
        if each.read_text("REQUESTED") is not None:
            yield each.metadata["Name"], modules(str(file) for file in each.files or ())


def of_conda():
    folder = os.path.join(sys.prefix, "conda-meta")
    try:
        with open(os.path.join(folder, "history"), encoding="utf-8") as history:
            text = history.read()
    except OSError:
        return
    asked = set()
    for verb, specs in re.findall(r"^# (update|install|create|remove|uninstall) specs: (.*)$", text, re.MULTILINE):
        names = {re.split(r"[ =<>!~\[]", spec.split("::")[-1])[0] for spec in re.findall(r"[\"']([^\"']+)[\"']", specs)}
        asked = asked - names if verb in ("remove", "uninstall") else asked | names
    site = re.compile(r"(?:lib/python[0-9.]+/)?site-packages/(.+)")
    for name in sorted(os.listdir(folder)):
        if name.endswith(".json") and name.rsplit("-", 2)[0] in asked:
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                files = json.load(file).get("files") or ()
            yield name.rsplit("-", 2)[0], modules(found[1] for found in map(site.match, files) if found)


def attempt(pair):
    package, module = pair
    code = (
        "import sys; sys.path[:] = [p for p in sys.path if p]; import importlib; importlib.import_module(sys.argv[1])"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, module],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=LIMIT,
        )
    except subprocess.TimeoutExpired:
        return package, module, "still importing after %d s" % LIMIT
    last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    if done.returncode < 0:
        return package, module, "killed by signal %d" % -done.returncode
    return package, module, (" ".join(last) or "exit code %d" % done.returncode) if done.returncode else ""


def main():
    asked = json.loads(sys.argv[1])
    plain = lambda name: re.sub("[-_.]+", "-", name).lower()
    wanted = {plain(name): name for name in asked["only"]}
    left_out = {plain(name) for name in asked["except"]}
    named = {plain(name): module for name, module in asked["names"].items()}
    found = {}
    for package, own in [*of_pip(), *of_conda()]:
        found.setdefault(plain(package), set()).update(own)
    if wanted:
        # What nobody knows as a package may be a module by that name.
        found = {name: found.get(name) or {wanted[name].replace("-", "_")} for name in wanted}
    for name, module in named.items():
        if name in found:
            found[name] = {module}
    pairs = [(name, own) for name in sorted(found) if name not in left_out for own in sorted(found[name])]
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for package, module, error in pool.map(attempt, pairs):
            print(json.dumps({"package": package, "module": module, "error": error}), flush=True)


main()
