"""`python -m autoscaler` is the command line."""

from autoscaler.cli.main import main

main()
