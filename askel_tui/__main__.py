"""`python -m askel_tui` is `askel`."""

from askel_tui.cli.main import main

if __name__ == "__main__":
    main()
