"""`python -m g2r` is the command line."""

from g2r.cli import main

main()
