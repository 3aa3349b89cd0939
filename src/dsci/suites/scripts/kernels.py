# Prints a line of JSON for each kernel that Jupyter finds: {"kernel", "error"}. Runs in the image under test.
import json
import os
import shutil
import sys

try:
    from jupyter_client.kernelspec import KernelSpecManager
except ImportError as error:
    sys.exit("no Jupyter here: %s" % error)
for name, folder in sorted(KernelSpecManager().find_kernel_specs().items()):
    try:
        with open(os.path.join(folder, "kernel.json"), encoding="utf-8") as file:
            program = json.load(file)["argv"][0]
        found = shutil.which(program) or (program in ("python", "python3") and sys.executable)
        error = "" if found else "its program %s is not there" % program
    except (OSError, ValueError, LookupError, TypeError) as problem:
        error = "kernel.json cannot be read: %s" % problem
    print(json.dumps({"kernel": name, "error": error}))
