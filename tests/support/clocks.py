"""Runs the tests marked `clock` on other days: `python -m tests.support.clocks [pytest's words]`.

Each run has its own day, time zone and locale. The clock is shifted by libfaketime where it is installed, else by
`tests/support/shifted_clock`, which every Python process of the run loads when it starts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from tests.support.environment import SHIFT_DAYS
from tests.support.files import ROOT

RUNS = (
    (1, "Pacific/Auckland", "C.UTF-8"),
    (8, "America/St_Johns", "C"),
    (37, "Asia/Kathmandu", "de_DE.UTF-8"),
    (400, "Pacific/Pago_Pago", "tr_TR.UTF-8"),
)
"""(days ahead, time zone, locale). A locale that a machine lacks counts as C there."""


def main() -> int:
    """Gives 0 if all runs passed."""
    failed = []
    for days, zone, locale in RUNS:
        print(f"the clock is {days} days ahead, in {zone}, with {locale}", flush=True)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-m",
            "clock and not slow and not long",
            "-n",
            "auto",
            "-q",
        ]
        environ = {**os.environ, SHIFT_DAYS: str(days), "TZ": zone, "LC_ALL": locale}
        if faketime := shutil.which("faketime"):
            command = [faketime, "-f", f"+{days}d", *command]
        else:
            paths = [str(ROOT / "tests" / "support" / "shifted_clock"), environ.get("PYTHONPATH", "")]
            environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        if subprocess.run([*command, *sys.argv[1:]], cwd=ROOT, env=environ, check=False).returncode:
            failed.append(days)
    if failed:
        print(f"failed with the clock ahead by {', '.join(map(str, failed))} days", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
