"""What the quickstart tells a person: to standard error, with clocks; colour only on a terminal."""
from __future__ import annotations

import sys
import time

_start_s = time.time()


def begin(started_s: float) -> None:
    """Clocks count from here: the moment the command was given."""
    global _start_s
    _start_s = started_s


def write(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def step(text: str) -> None:
    """One step of the preparation."""
    write(f"  {time.time() - _start_s:6.1f} s  {text}")


def heading(text: str) -> None:
    write("\n" + bold(text))


def moment(after_us: int, kind: str, text: str, strong: bool = False) -> None:
    """One thing that happened, so long after the kill."""
    line = f"  {after_us / 1e6:+7.3f} s  {kind:<11} {text}"
    write(bold(line) if strong else line)


def bold(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m" if sys.stderr.isatty() else text
