"""`python -m dsci` is `dsci`."""

from dsci.cli import main

main()
