"""Builds a preset of the project, with one progress line where somebody looks."""
from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path


class BuildFailed(Exception):
    """The text holds the first error and says where the whole output is."""


# What runs; the tests' own programs need libraries that only tests/run installs.
PROGRAMS = ("coordd", "coordctl", "coord-supervise", "lease_guard")


def build(source: Path, preset: str, targets: tuple[str, ...] = ()) -> Path:
    """Configures and builds build/PRESET (`targets`, or all); gives that directory. Under sudo it builds as the owner of the tree."""
    directory = source / "build" / preset
    owner: dict[str, int] = {}
    if os.geteuid() == 0 and os.environ.get("SUDO_UID") == str(source.stat().st_uid) != "0":
        owner = {"user": source.stat().st_uid, "group": source.stat().st_gid}
    for path in (directory.parent, directory):
        if not path.exists():
            path.mkdir()
            if owner:
                os.chown(path, owner["user"], owner["group"])
    log = directory / "build.log"
    started = time.monotonic()
    with open(log, "w", encoding="utf-8") as output:
        only = ["--target", *targets] if targets else []
        for command in (["cmake", "--preset", preset], ["cmake", "--build", "--preset", preset, *only]):
            with subprocess.Popen(command, cwd=source, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, errors="replace", **owner) as running:
                assert running.stdout is not None
                for line in running.stdout:
                    output.write(line)
                    progress(f"build {preset}: {line.strip()[:90]}")
            if running.returncode != 0:
                output.flush()
                raise BuildFailed(_first_error(log) + f"\nbuild of {preset} failed (whole output: {log})")
    progress("")
    print(f"build {preset}: ok in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return directory


def progress(text: str) -> None:
    """One line that overwrites itself; nothing when standard error is no terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def _first_error(log: Path) -> str:
    lines = log.read_text(encoding="utf-8").splitlines()
    first = next((at for at, text in enumerate(lines) if "error:" in text or "Error at" in text), max(len(lines) - 40, 0))
    return "\n".join(lines[first : first + 40])
