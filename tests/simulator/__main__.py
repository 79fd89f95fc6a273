"""`make simulate SEED=… [HOURS=…]`: runs a seed, or fresh ones from it on; shows what differs, shortened."""

from __future__ import annotations

import argparse
import logging
import sys
import time

from tests.simulator.comparison import differences
from tests.simulator.run import Ending, play
from tests.simulator.shrinking import shortest
from tests.simulator.story import KINDS, Story, make_story

NO_KINDS = "none"
"""The word for a run of nothing but records."""

SHOWN = 8
"""The number of differences that are shown of a seed."""


def check(story: Story) -> tuple[Ending, list[str]]:
    """Runs a story, and compares."""
    ending = play(story)
    return ending, differences(story, ending)


def explain(story: Story, found: list[str]) -> str:
    """Writes what differs, how to run it again, and the shortest history that fails in the same way."""
    lines = [f"seed {story.seed} ({', '.join(story.kinds) or 'records only'}): {len(found)} differences"]
    lines += [f"  {each[:400]}" for each in found[:SHOWN]]
    lines.append(
        f"again: make simulate SEED={story.seed} ACTIONS={len(story.actions)} KINDS={','.join(story.kinds) or NO_KINDS}"
    )
    short = shortest(story, lambda each: bool(check(each)[1]))
    ending, left = check(short)
    lines.append(f"the shortest that fails has {len(short.actions)} actions:")
    lines += [f"  {action}" for action in short.actions]
    lines += [f"  ! {each[:400]}" for each in left[:SHOWN]]
    lines += ["its history:", *(f"  {line[:240]}" for line in ending.history)]
    return "\n".join(lines)


def main() -> int:
    """Runs what the arguments say. Returns 1 where something differs."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("--hours", type=float, help="run fresh seeds from this one on, for so long")
    parser.add_argument("--count", type=int, default=1, help="run so many seeds from this one on")
    parser.add_argument("--actions", type=int, help="the number of actions; without it the seed decides")
    parser.add_argument("--kinds", help=f"what may happen: {','.join(KINDS)}; without it the seed decides")
    parser.add_argument("--short", action="store_true", help="one line a seed: shorten no history")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    kinds = None if given.kinds is None else frozenset(given.kinds.split(",")) - {NO_KINDS}
    end = None if given.hours is None else time.monotonic() + given.hours * 3600
    began, operations, failed, seed = time.process_time(), 0, 0, given.seed
    while seed < given.seed + given.count if end is None else time.monotonic() < end:
        story = make_story(str(seed), kinds, given.actions)
        ending, found = check(story)
        operations += ending.operations
        if found:
            failed += 1
            print(
                f"seed {seed}: {len(found)} differences: {found[0][:150]}"
                if given.short
                else explain(story, found)
            )
        elif given.count > 1 and given.short:
            print(
                f"seed {seed} ({','.join(story.kinds)}): {ending.operations} operations, as they ought to be"
            )
        sys.stdout.flush()
        seed += 1
    spent = time.process_time() - began
    print(
        f"{seed - given.seed} seeds, {failed} with differences; {operations} operations, "
        f"{operations / spent:.0f} a second of processor"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
