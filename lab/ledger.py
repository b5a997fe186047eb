"""The writers' records held against what the servers keep: which acknowledged writes are lost, which were acknowledged by two primaries."""
from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from lab.processes import Child, LabError, Processes


@dataclass(frozen=True)
class Ack:
    """One write that a client was told is committed; times in microseconds of the machine's monotonic clock."""

    id: int
    server: str
    started_us: int
    acknowledged_us: int


class Writer:
    """The lab's end of one writer process."""

    def __init__(self, processes: Processes, name: str, kind: list[str], record: Path, log: Path, first_id: int, *, library: Path,
                 threads: int = 2, pause_ms: float = 10, timeout_ms: float = 500, netns: int | None = None) -> None:
        self.name, self.record, self.processes = name, record, processes
        self.known: list[Ack] = []
        self.read_bytes = 0
        argv = ["/usr/bin/python3", "-m", "lab.writer", "--record", str(record), "--first-id", str(first_id), "--threads", str(threads),
                "--pause-ms", str(pause_ms), "--timeout-ms", str(timeout_ms), *kind]
        self.child: Child = processes.start(f"writer.{name}", argv, log, stdin=subprocess.PIPE, stdout=subprocess.PIPE, netns=netns,
                                            env={"PYTHONPATH": str(library)})
        self._expect("ready")

    def hold(self) -> None:
        """Returns when none of its writes is under way."""
        self._tell("hold", "held")

    def release(self) -> None:
        self._tell("release", "released")

    def stop(self) -> int:
        """Ends it; gives the number of attempts that were not acknowledged."""
        answer = self._tell("stop", "stopped")
        self.processes.end(self.child)
        return int(answer.partition("failed=")[2])

    def acks(self) -> list[Ack]:
        """The acknowledgements so far, in the order of their times."""
        self._read()
        return sorted(self.known, key=lambda ack: ack.acknowledged_us)

    def _read(self) -> None:
        """Only what is new: after half an hour the record is long."""
        if not self.record.exists():
            return
        with open(self.record, "rb") as record:
            record.seek(self.read_bytes)
            whole = record.read().rpartition(b"\n")[0]
        for line in whole.splitlines():
            number, server, started, acknowledged = line.decode().split()
            self.known.append(Ack(int(number), server, int(started), int(acknowledged)))
        self.read_bytes += len(whole) + 1 if whole else 0

    def await_acks(self, count: int, server: str | None = None, timeout_s: float = 20) -> None:
        """Until this many more writes than now were acknowledged (by `server`, when one is named)."""
        def seen() -> int:
            self._read()
            return sum(1 for ack in self.known if server in (None, ack.server))
        wanted, deadline = seen() + count, time.monotonic() + timeout_s
        while seen() < wanted:
            if time.monotonic() > deadline:
                raise LabError(f"writer {self.name}: fewer than {count} acknowledgements by {server or 'anyone'} in {timeout_s:g} s")
            time.sleep(0.05)

    def _tell(self, command: str, expected: str) -> str:
        assert self.child.popen.stdin is not None
        try:
            self.child.popen.stdin.write(f"{command}\n".encode())
            self.child.popen.stdin.flush()
        except BrokenPipeError as error:
            raise LabError(f"writer {self.name} has ended:\n{self.child.log_tail()}") from error
        return self._expect(expected)

    def _expect(self, expected: str) -> str:
        assert self.child.popen.stdout is not None
        answer = self.child.popen.stdout.readline().decode().strip()
        if not answer.startswith(expected):
            raise LabError(f"writer {self.name}: expected {expected!r}, got {answer!r}\n{self.child.log_tail()}")
        return answer


@dataclass
class Count:
    """What a scenario did to the clients' writes."""

    acknowledged: int
    at_old: int
    at_new: int
    lost: int
    split_brain: int
    first_at_new_us: int | None

    def as_dict(self) -> dict:
        return dict(acknowledged=self.acknowledged, at_old=self.at_old, at_new=self.at_new, lost=self.lost, split_brain=self.split_brain)


def count(acks: list[Ack], old: str, new: str, rows_of_new: set[int]) -> Count:
    """`old` and `new` are the addresses of the two servers, `rows_of_new` the ids that the new primary holds.

    Lost: acknowledged by anyone, missing at the new primary. Split-brain: acknowledged by the old server after the new one had
    acknowledged its first write. A write of that kind is lost too.
    """
    at_new = [ack.acknowledged_us for ack in acks if ack.server == new]
    first = min(at_new) if at_new else None
    at_old = sum(1 for ack in acks if ack.server == old)
    lost = sum(1 for ack in acks if ack.id not in rows_of_new)
    split = sum(1 for ack in acks if ack.server == old and first is not None and ack.acknowledged_us > first)
    return Count(len(acks), at_old, len(at_new), lost, split, first)
