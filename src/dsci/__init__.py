"""dsci: CI/CD for versioned data-science container images."""

__version__ = "0.1.0.dev0"
