"""Runs pytest on a suite inside an image. Anything that calls itself Python must be able to read this.

Arguments: the folder of the suite, the JUnit file to write, the folder of pytest and what it needs, which stands behind
everything that the image has, and a plugin in it.
"""

import os
import sys

suite, junit, kit, plugin = sys.argv[1:]
version = sys.version.split()[0]

sys.dont_write_bytecode = True
if sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
    del sys.path[0]
sys.path.append(kit)
try:
    import pytest
except Exception as error:
    if sys.version_info < (3, 8):
        sys.exit("dsci: pytest needs Python 3.8, and this image has Python %s" % version)
    sys.exit("dsci: pytest cannot run in this image's Python %s: %s: %s" % (version, type(error).__name__, error))

# What the image's environment asks of pytest is not meant for this suite, nor plugins that it has for another pytest.
for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
    os.environ.pop(name, None)
foreign = pytest.__file__.startswith(kit + "/")
if foreign:
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"


class Telling:
    """Tells what a JUnit file leaves out, and hides from the tests what was set for pytest alone."""

    def pytest_configure(self):
        if foreign:
            os.environ.pop("PYTEST_DISABLE_PLUGIN_AUTOLOAD", None)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item):
        outcome = yield
        report = outcome.get_result()
        if report.when == "call" and report.passed and hasattr(report, "wasxfail"):
            why = "passes, though it is expected to fail: %s" % report.wasxfail
            item.user_properties.append(("dsci-note", why.rstrip(": ")))


options = ["-p", "no:cacheprovider", "--rootdir=" + suite, "--import-mode=importlib", "-q", "-rs", "--color=no"]
options += ["-o", "junit_family=xunit2", "--junitxml=" + junit, "-p", plugin, suite]
sys.exit(pytest.main(options, plugins=[Telling()]))
