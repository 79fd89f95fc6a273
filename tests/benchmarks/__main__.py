"""`make bench`: measures, and prints one table with the references of the same run and the machine.

`python -m tests.benchmarks [NAME…] [--quick] [--json]`; without names, all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from tests.benchmarks import (
    backlog,
    console_bench,
    depth,
    idle,
    live,
    others,
    profiles_file,
    single_calls,
    start_up,
)
from tests.benchmarks.common import Row, machine

BENCHMARKS: dict[str, Callable[[bool], Awaitable[list[Row]]]] = {
    "start": start_up.measure,
    "single": single_calls.measure,
    "a": backlog.measure,
    "b": backlog.measure_old,
    "c": live.measure,
    "d": profiles_file.measure,
    "e": depth.measure,
    "f": idle.measure,
    "g": others.measure,
    "console": console_bench.measure,
}


async def measured(names: list[str], quick: bool) -> tuple[dict[str, list[Row]], list[str]]:
    """Rows by benchmark, and the names of those that could not be measured."""
    rows: dict[str, list[Row]] = {}
    failed = []
    for name in names:
        began = time.perf_counter()
        environment = dict(os.environ)
        try:
            rows[name] = await BENCHMARKS[name](quick)
        except Exception:
            failed.append(name)
            traceback.print_exc()
        finally:
            os.environ.clear()
            os.environ.update(environment)
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return rows, failed


def table(rows: dict[str, list[Row]]) -> str:
    """The rows for people."""
    lines = [("measured", "", "reference (same run)", "", "ratio", "aim", "")]
    for row in (each for group in rows.values() for each in group):
        aim = "" if row.aim is None else f"{'≥' if row.more else '≤'} {row.aim:g}"
        reference = "" if row.reference_value is None else f"{number(row.reference_value)} {row.unit}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        met = {None: "", True: "met", False: "MISSED"}[row.met]
        note = f" ({row.note})" if row.note else ""
        lines.append(
            (row.measured, f"{number(row.value)} {row.unit}{note}", row.reference, reference, ratio, aim, met)
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def number(value: float) -> str:
    """A number with as many digits as say something."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}")
    parser.add_argument(
        "--quick", action="store_true", help="a small scale: shows that it works, measures little"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no {unknown[0]}; there are {', '.join(BENCHMARKS)}")
    rows, failed = asyncio.run(measured(given.names or list(BENCHMARKS), given.quick))
    if given.json:
        found = {
            name: [asdict(row) | {"ratio": row.ratio, "met": row.met} for row in group]
            for name, group in rows.items()
        }
        print(
            json.dumps(
                {"machine": machine(), "quick": given.quick, "failed": failed, "rows": found}, indent=1
            )
        )
    else:
        print(machine())
        print(table(rows))
        if failed:
            print(f"not measured: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
