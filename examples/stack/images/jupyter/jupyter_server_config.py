"""Settings of every Jupyter server in this image; options on the command line come after them."""

import os

c = get_config()  # noqa: F821 (Jupyter provides it)

# A container's own address is not known beforehand, and nobody outside sees the port unless it is published.
c.ServerApp.ip = "0.0.0.0"
c.ServerApp.open_browser = False
c.ServerApp.root_dir = os.environ["HOME"]
# In a container there is no desktop, hence no waste basket.
c.FileContentsManager.delete_to_trash = False
