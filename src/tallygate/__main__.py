"""`python -m tallygate` is the command `tallygate`."""

from tallygate.cli import main

main()
