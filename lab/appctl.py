"""Starts, stops and asks after one site's application, as an init system would: `appctl start|stop|status`.

`start` ends well only when the application answers /health with 200, and may be repeated: starting a running application succeeds.
"""
from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PATIENCE_S = 15


def running_pid(config: dict) -> int | None:
    """The application's pid, when the pid file names a live process that was started with this configuration."""
    try:
        pid = int(Path(config["pid_file"]).read_text(encoding="utf-8"))
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if config["path"].encode() in arguments else None


def healthy(config: dict) -> tuple[bool, str]:
    """Asks by hand: the HTTP library takes longer to load than the application to answer."""
    try:
        with socket.create_connection((config["listen"], config["port"]), timeout=2) as sock:
            sock.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = b""
            while piece := sock.recv(4096):
                answer += piece
    except OSError as error:
        return False, str(error)
    return answer.startswith(b"HTTP/1.1 200 "), answer.decode(errors="replace").rpartition("\r\n")[2].strip()


def start(config: dict) -> int:
    if running_pid(config) is None:
        with open(config["log"], "ab") as log:
            child = subprocess.Popen([sys.executable, "-m", "lab.application", "--config", config["path"]], stdin=subprocess.DEVNULL,
                                     stdout=log, stderr=log, start_new_session=True, cwd=config["library"])
        pid_file = Path(config["pid_file"])
        temporary = pid_file.with_suffix(".new")
        temporary.write_text(f"{child.pid}\n", encoding="utf-8")
        os.replace(temporary, pid_file)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        well, said = healthy(config)
        if well:
            print(f"{config['site']}: application is healthy")
            return 0
        if time.monotonic() > deadline:
            print(f"{config['site']}: application is not healthy after {PATIENCE_S} s: {said}", file=sys.stderr)
            return 1
        time.sleep(0.02)


def stop(config: dict) -> int:
    pid = running_pid(config)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        while running_pid(config) is not None:
            time.sleep(0.02)
    print(f"{config['site']}: application is stopped")
    return 0


def status(config: dict) -> int:
    pid = running_pid(config)
    well, said = healthy(config) if pid is not None else (False, "stopped")
    print(f"{config['site']}: {said}")
    return 0 if well else 1


def main() -> int:
    if len(sys.argv) < 3 or sys.argv[2] not in ("start", "stop", "status"):
        print("usage: appctl CONFIG start|stop|status", file=sys.stderr)
        return 2
    path = Path(sys.argv[1])
    config = dict(json.loads(path.read_text(encoding="utf-8")), path=str(path))
    return {"start": start, "stop": stop, "status": status}[sys.argv[2]](config)


if __name__ == "__main__":
    sys.exit(main())
