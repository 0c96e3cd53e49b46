"""`python -I -m reconciler`: the command, where nothing of the current folder may be imported."""

from reconciler.cli import main

main()
