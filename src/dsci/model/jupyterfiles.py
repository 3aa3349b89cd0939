"""Jupyter's kernels and JupyterLab's prebuilt extensions, by the files that Jupyter itself looks for.

Sources: https://jupyter-client.readthedocs.io/en/stable/kernels.html#kernel-specs,
https://jupyterlab.readthedocs.io/en/stable/extension/extension_dev.html#prebuilt-extensions
"""

from __future__ import annotations

from collections.abc import Iterator

from dsci.model.inventory import Extension, Kernel
from dsci.model.packagefiles import json_object, one_line


def kernel(path: str, text: str) -> Iterator[Kernel]:
    """The kernel of a `kernel.json`; its name is that of the folder, in small letters as Jupyter has it."""
    value = json_object(text)
    if value:
        name = one_line(path.split("/")[-2].lower())
        yield Kernel(name=name, display_name=_text(value.get("display_name")), language=_text(value.get("language")))


def extension(_: str, text: str) -> Iterator[Extension]:
    """The extension of a `package.json`."""
    value = json_object(text)
    name = _text(value.get("name"))
    if name:
        yield Extension(name=name, version=_text(value.get("version")))


def _text(value: object) -> str:
    return one_line(value) if isinstance(value, str) else ""
