"""One coordd with its own file, and coordctl on its socket."""
from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from lab.network import API_PORT, COORD_PORT as PORT
from lab.postgres import BIN, USER, PostgresSite
from lab.processes import Child, LabError, Processes


class CtlError(LabError):
    """coordctl ended with another code than 0; `code` is that code, `answer` what it printed."""

    def __init__(self, code: int, answer: str, text: str) -> None:
        super().__init__(text)
        self.code, self.answer = code, answer


@dataclass(frozen=True)
class Member:
    """A node as the others know it. Its name says where it is: c2 is the second node at site-c."""

    id: int
    name: str
    address: str
    witness: bool

    @property
    def site(self) -> str:
        return place_of(self.name)[0]


def place_of(name: str) -> tuple[str, int]:
    """The site of a node and its number there, from its name."""
    if len(name) != 2 or not "a1" <= name <= "z9":
        raise LabError(f"a node of the lab is named by the letter of its site and its number there, such as a1; not {name!r}")
    return f"site-{name[0]}", int(name[1])


@dataclass
class CoordNode:
    processes: Processes
    me: Member
    directory: Path
    programs: Path
    log: Path
    cluster: list[Member]
    timing: str
    postgres: PostgresSite | None
    authority: Path  # made by `coordctl pki init`
    namespace: int | None = None
    program: str = "coordd"
    child: Child | None = None

    @property
    def name(self) -> str:
        return self.me.name

    @property
    def site(self) -> str:
        return self.me.site

    @property
    def socket(self) -> Path:
        return self.directory / "coordd.sock"

    @property
    def api(self) -> str:
        """Where it answers over the network."""
        return f"{self.me.address}:{API_PORT}"

    @property
    def config_file(self) -> Path:
        return self.directory / "node.yaml"

    @property
    def certificates(self) -> Path:
        """The directory of node.crt, node.key and authority.crt."""
        return self.authority / self.name

    @property
    def raft_address(self) -> str:
        return f"{self.me.address}:{PORT}"

    def bootstrap(self) -> None:
        """Makes the node's certificate, its file and its first Raft state."""
        self._write_files()
        self.processes.run([str(self.programs / "coordd"), "bootstrap", "-c", str(self.config_file)], user=USER)

    def join(self, *options: str) -> None:
        """The same for a node that `coordctl members add` has named."""
        self._write_files()
        self.processes.run([str(self.programs / "coordd"), "join", "-c", str(self.config_file), *options], user=USER)

    def recover_text(self, *options: str, code: int = 0) -> str:
        """What `coordd recover` says; it must end with that code."""
        argv = ["runuser", "-u", USER, "--", str(self.programs / "coordd"), "recover", "-c", str(self.config_file), *options]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False, cwd="/")
        if done.returncode != code:
            raise LabError(f"`{' '.join(argv)}` ended with {done.returncode}, not {code}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def exit_code(self, timeout_s: float = 10) -> int:
        """Waits for its end."""
        assert self.child is not None
        code = self.child.popen.wait(timeout_s)
        self.child = None
        return code

    def _write_files(self) -> None:
        self.processes.run([str(self.programs / "coordctl"), "pki", "node", str(self.authority), self.name, "--id", str(self.me.id),
                            "--address", self.me.address], user=USER)
        self.config_file.write_text(self._config(), encoding="utf-8")

    def start(self) -> None:
        argv = [str(self.programs / self.program), "run", "-c", str(self.config_file)]
        self.child = self.processes.start(f"{self.site}.coordd.{self.name}", argv, self.log, site=self.site, user=USER, netns=self.namespace)

    def kill(self) -> None:
        if self.child is not None:
            self.processes.end(self.child, signal.SIGKILL)
            self.child = None

    def alive(self) -> bool:
        return self.child is not None and self.child.alive()

    def ctl_text(self, *arguments: str, timeout_s: float = 20) -> str:
        """What `coordctl ARGUMENTS` prints; raises CtlError when it ends with another code than 0."""
        argv = self.ctl_argv(*arguments)
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False, cwd="/")
        except subprocess.TimeoutExpired as error:
            raise LabError(f"`{' '.join(argv)}` gave no answer in {timeout_s:g} s; see {self.log}") from error
        if done.returncode != 0:
            raise CtlError(done.returncode, done.stdout, f"`{' '.join(argv)}` ended with {done.returncode}: "
                           f"{(done.stderr + done.stdout).strip()}")
        return done.stdout

    def ctl(self, *arguments: str, timeout_s: float = 20) -> dict:
        text = self.ctl_text(*arguments, "--json", timeout_s=timeout_s)
        try:
            return json.loads(text)
        except ValueError as error:
            raise LabError(f"coordctl {' '.join(arguments)} --json printed no JSON object: {text[:300]!r}") from error

    def ctl_argv(self, *arguments: str) -> list[str]:
        return [str(self.programs / "coordctl"), "-S", str(self.socket), *arguments]

    def get(self, path: str) -> tuple[int, str]:
        """The code and the body of a GET on the node's socket."""
        link = http.client.HTTPConnection("localhost")
        link.sock = socket.socket(socket.AF_UNIX)
        link.sock.connect(str(self.socket))
        link.request("GET", path)
        answer = link.getresponse()
        text = answer.read().decode()
        link.close()
        return answer.status, text

    def service(self, name: str = "app") -> dict:
        for service in self.ctl("status")["services"]:
            if service["name"] == name:
                return service
        raise LabError(f"{self.name} does not know a service {name}")

    def leader(self) -> str | None:
        """The leader's name as this node knows it; None while it knows none or does not answer."""
        try:
            cluster = self.ctl("status")["cluster"]
            return cluster["leader"] if cluster["nodes"] else None  # without its first entry a cluster takes no other
        except LabError:
            return None

    def await_log(self, text: str, since: int = 0, timeout_s: float = 10) -> None:
        deadline = time.monotonic() + timeout_s
        while text not in self.log.read_text(encoding="utf-8", errors="replace")[since:]:
            if time.monotonic() > deadline:
                raise LabError(f"{self.log} does not say {text!r} within {timeout_s:g} s")
            time.sleep(0.05)

    def _config(self) -> str:
        lines = [f"node: {self.name}", f"site: {self.site}", f"data_dir: {self.directory}/coord", f"socket: {self.socket}",
                 f'listen: "{self.me.address}:{PORT}"', f'api: "{self.api}"', f"timing: {self.timing}",
                 f"tls: {{ certificate: {self.certificates}/node.crt, key: {self.certificates}/node.key, "
                 f"authority: {self.certificates}/authority.crt }}",
                 "cluster:"]
        for member in self.cluster:
            witness = ", witness: true" if member.witness else ""
            lines.append(f'  - {{ id: {member.id}, node: {member.name}, site: {member.site}, address: "{member.address}:{PORT}"{witness} }}')
        if self.postgres is not None:
            lines += ["local:", "  - service: app", f"    data_dir: {self.postgres.data_dir}", f"    bin_dir: {BIN}",
                      f'    conninfo: "{self.postgres.conninfo("coord", "postgres", local=True)}"',
                      f"    guard_socket: {self.postgres.guard_socket}"]
        return "\n".join(lines) + "\n"
