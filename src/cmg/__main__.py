"""`python -m cmg` is `cmg`."""

from cmg.cli import main

main()
