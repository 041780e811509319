"""`python -m triops` is the command line."""

from triops.cli import main

main()
