"""What one coordd costs while nothing happens: processor time over half a minute, and resident memory."""
from __future__ import annotations

import os
import re
import time
from pathlib import Path

from lab.network import SITES
from lab.sites import Lab

SPAN_S = 30


def idle_cost(lab: Lab) -> dict:
    lab.start_databases()
    lab.start_coordinators()
    lab.await_ready(serving=False)
    lab.a.appctl("start")
    lab.await_ready()
    time.sleep(5)
    pids = {lab.node(site).name: lab.node(site).child.pid for site in SITES if lab.node(site).child}
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    started = time.monotonic()
    time.sleep(SPAN_S)
    span = time.monotonic() - started
    nodes = {name: {"cpu_percent": round((cpu_seconds(pid) - before[name]) / span * 100, 2), "rss_mib": round(resident_mib(pid), 1)}
             for name, pid in pids.items()}
    return {"profile": "region", "span_s": SPAN_S, "leader": lab.node("site-c").leader(), "nodes": nodes}


def cpu_seconds(pid: int) -> float:
    """Its own, and its ended children's: what it does through a child it does too."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(int(fields[at]) for at in range(11, 15)) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"), re.MULTILINE)
    return int(found[1]) / 1024 if found else float("nan")
