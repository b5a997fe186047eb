"""The C tests: runs the programs of one kind through ctest, and counts the tests inside them."""
from __future__ import annotations

import re
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from tests.result import Result

OUTPUT_BYTES_MAX = 20_000_000
PASSED = re.compile(r"^\[\s+OK \] ", re.MULTILINE)
SKIPPED = re.compile(r"^\[\s+SKIPPED \] (\S+)$", re.MULTILINE)
# The same of Python's unittest, for the tests that drive a server.
RAN = re.compile(r"^Ran (\d+) tests? in ", re.MULTILINE)
RAN_SKIPPED = re.compile(r"^(?:OK|FAILED) \(.*?skipped=(\d+)", re.MULTILINE)
RAN_FAILED = re.compile(r"^(?:FAIL|ERROR): (\S+)", re.MULTILINE)
FAILED = re.compile(r"^\[\s+(?:FAILED|ERROR)\s+\] (\S+)$", re.MULTILINE)


def run_kind(directory: Path, kind: str) -> Result:
    junit = directory / f"{kind}.xml"
    junit.unlink(missing_ok=True)
    command = ["ctest", "--test-dir", str(directory), "-L", f"^{kind}$", "-j", "2", "--timeout", "600", "--output-junit", str(junit),
               "--test-output-size-passed", str(OUTPUT_BYTES_MAX), "--test-output-size-failed", str(OUTPUT_BYTES_MAX), "--no-tests=error"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if re.match(r"\s*\d+/\d+ ", line):
                print(line.rstrip(), flush=True)
    cases = list(ElementTree.parse(junit).getroot().iter("testcase")) if junit.exists() else []
    if not cases:
        return Result(failed=[f"{kind}: ctest found no tests (`{' '.join(command)}`)"])
    result = Result()
    for case in cases:
        result.add(_count(case, directory / "logs"))
    return result


def _count(case: ElementTree.Element, logs: Path) -> Result:
    """A program that tells no numbers counts as one test; one that dies half-way has failed whatever its lines say."""
    name, output = case.get("name", "?"), case.findtext("system-out") or ""
    passed, skipped = len(PASSED.findall(output)), len(set(SKIPPED.findall(output)))
    failed = sorted(set(FAILED.findall(output)) | set(RAN_FAILED.findall(output)))
    if RAN.search(output):
        skipped += sum(map(int, RAN_SKIPPED.findall(output)))
        passed += sum(map(int, RAN.findall(output))) - skipped - len(failed)
    status = case.get("status")
    if status == "run":
        return Result(passed=passed or (0 if skipped else 1), skipped=skipped)
    if status in ("disabled", "notrun") and case.find("skipped") is not None:
        return Result(skipped=1)
    logs.mkdir(exist_ok=True)
    log = logs / f"{name}.log"
    log.write_text(output, encoding="utf-8")
    print(f"--- {name} failed; the end of its output (all of it: {log})")
    print("\n".join(output.splitlines()[-40:]), flush=True)
    return Result(passed, skipped, [f"{name}: {test}" for test in failed] or [name])
