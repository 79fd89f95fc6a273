"""`python -m askel_tui.cli` is `askel`."""

from askel_tui.cli.main import main

main()
