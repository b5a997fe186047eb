"""A disk that does what it is told (tests/faultfs), under the data_dir of one coordd."""
from __future__ import annotations

import errno
import os
import pwd
import subprocess
from pathlib import Path

from lab.coord import CoordNode
from lab.postgres import USER
from lab.processes import LabError, Processes


def possible() -> bool:
    return os.geteuid() == 0 and Path("/dev/fuse").exists()


class FaultDisk:
    """From `put_under` until `close`. The orders stand at the top of tests/faultfs/faultfs.c."""

    def __init__(self, processes: Processes, node: CoordNode, program: Path) -> None:
        self.processes, self.node = processes, node
        user = pwd.getpwnam(USER)
        self.directory = node.directory / "coord"
        self.before = node.directory / "coord.before"
        self.directory.rename(self.before)
        self.directory.mkdir(mode=0o700)
        self.program = subprocess.Popen([str(program), str(self.directory), str(user.pw_uid), str(user.pw_gid)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)
        if self._answer() != "mounted":
            raise LabError(f"{program} does not mount {self.directory}")
        processes.run(["cp", "-r", f"{self.before}/.", str(self.directory)], user=USER)
        processes.run(["find", str(self.directory), "-exec", "sync", "{}", "+"], user=USER)  # a power loss leaves what was synced

    def order(self, line: str) -> str:
        self.program.stdin.write(line + "\n")
        return self._answer()

    def fail(self, wrong: str) -> None:
        """`wrong` is an errno's name."""
        self.order(f"fail {getattr(errno, wrong)}")

    def mend(self) -> None:
        self.order("fail 0")
        self.order("go")

    def close(self) -> None:
        self.mend()  # or a process that waits for it cannot end
        self.node.kill()
        self.program.stdin.close()
        self.program.wait(10)

    def _answer(self) -> str:
        answer = self.program.stdout.readline().strip()
        if not answer:
            raise LabError(f"the disk of {self.node.name} has ended")
        return answer
