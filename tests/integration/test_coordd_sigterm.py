"""SIGTERM at any moment: coordd ends with 0, at once, and leaves nothing behind. Three real nodes of the build under test (with its
sanitizers, whose reports stand in the log), a real PostgreSQL pair, in a network namespace of its own.

Environment: COORD_BUILD (the build directory), SIGTERM_ROUNDS (how often each moment is tried; default 4).
"""
import os
import queue
import random
import signal
import socket
import subprocess
import time

import test_coordd_support as support  # also finds lab
from lab.network import SITES
from lab.observe import Events
from lab.processes import LabError, send

ROUNDS = int(os.environ.get("SIGTERM_ROUNDS", "4"))
SEED = int(os.environ.get("SIGTERM_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
END_S = 3.0  # below every deadline that a shutdown could wait for: 5 s of a submission, 10 s of a proposal
REPORTS = ("AddressSanitizer", "LeakSanitizer", "runtime error:", "event=handles_left", "assertion")


class Sigterm(support.LabTest):
    note = f"seed {SEED}; "

    def setUp(self):
        super().setUp()
        self.random = random.Random(SEED)

    def end(self, site):
        """SIGTERM to the node of a site: it ends by itself, with 0, and no sanitizer has anything to say."""
        node = self.lab.node(site)
        child, node.child = node.child, None
        began = time.monotonic()
        child.popen.send_signal(signal.SIGTERM)
        try:
            code = child.popen.wait(END_S)
        except subprocess.TimeoutExpired:
            child.popen.kill()
            self.fail(f"{node.name} was not gone after {END_S} s; {node.log}:\n{child.log_tail(8)}")
        took_ms = (time.monotonic() - began) * 1000
        text = node.log.read_text(encoding="utf-8", errors="replace")
        self.assertEqual(code, 0, f"{node.name} after {took_ms:.0f} ms; {child.log_tail(40)}")
        for report in REPORTS:
            self.assertNotIn(report, text, f"{node.name}; {child.log_tail(60)}")
        self.assertFalse(node.socket.exists(), f"{node.socket} was left behind")
        self.lab.processes.children.remove(child)

    def pause(self, most_s):
        time.sleep(self.random.random() * most_s)

    def start(self, *sites):
        for site in sites:
            node = self.lab.node(site)
            since = node.log.stat().st_size if node.log.exists() else 0
            node.start()
            node.await_log("event=started ", since)

    def end_all(self):
        for site in self.random.sample(SITES, len(SITES)):
            if self.lab.node(site).child is not None:
                self.end(site)

    def test_before_and_during_elections(self):
        """Nodes without databases: alone without a quorum, in the first election, under a leader whose followers leave."""
        lab = self.lab
        self.make_nodes()
        self.start_told_to_systemd()
        for _ in range(ROUNDS):
            self.end_while_it_starts()
        for _ in range(ROUNDS):
            self.start("site-a")
            self.pause(1)
            self.end("site-a")
        for _ in range(ROUNDS):
            self.start(*SITES)
            self.pause(0.8)
            self.end_all()
        for _ in range(ROUNDS):
            self.start(*SITES)
            lab.await_leader()
            streams = [Events(lab.processes, lab.node(site), queue.Queue()) for site in SITES]
            self.pause(0.3)
            self.end_all()
            for stream in streams:
                stream.child.popen.wait(5)
                stream.child.popen.stdout.close()

    def start_told_to_systemd(self):
        """READY=1 when it serves, STOPPING=1 when it is asked to end."""
        node = self.lab.node("site-a")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            path = str(self.work / "notify")
            manager.bind(path)
            os.chmod(path, 0o777)
            manager.settimeout(10)
            node.child = self.lab.processes.start("site-a.coordd", [str(node.programs / "coordd"), "run", "-c", str(node.config_file)],
                                                  node.log, site="site-a", user="postgres", env={"NOTIFY_SOCKET": path})
            self.assertEqual(manager.recv(64), b"READY=1")
            self.assertEqual(node.ctl("status")["node"]["name"], "a1")
            self.end("site-a")
            self.assertEqual(manager.recv(64), b"STOPPING=1")

    def end_while_it_starts(self):
        """Before the first line of main() has run the kernel ends the process; from then on it ends by itself."""
        node = self.lab.node("site-a")
        node.start()
        child, node.child = node.child, None
        self.pause(0.2)
        child.popen.send_signal(signal.SIGTERM)
        self.assertIn(child.popen.wait(END_S), (0, -signal.SIGTERM), child.log_tail(20))
        self.lab.processes.children.remove(child)

    def test_while_a_service_runs_and_moves(self):
        lab = self.lab
        lab.start_databases()
        lab.start_coordinators()
        lab.await_ready(serving=False)
        for _ in range(ROUNDS):
            self.end_with_submissions(lab)
        for _ in range(ROUNDS):
            self.end_without_a_peer(lab)
        lab.await_ready(serving=False)
        self.end_in_an_operation(lab)

    def end_with_submissions(self, lab):
        """Leaders and followers, with looks in flight, event streams open and changes under way."""
        callers = []
        for site in SITES:
            node = lab.node(site)
            callers.append(lab.processes.start("caller", node.ctl_argv("events", "-f"), node.log.parent / "callers.log"))
            for verb in ("pause", "resume", "pause", "resume"):
                callers.append(lab.processes.start("caller", node.ctl_argv(verb, "app"), node.log.parent / "callers.log"))
        self.pause(0.4)
        chosen = self.random.choice(SITES)
        self.end(chosen)
        self.pause(0.5)
        self.start(chosen)
        lab.await_leader()
        for caller in callers:
            lab.processes.end(caller)
        self.resume(lab, chosen)

    def end_without_a_peer(self, lab):
        """Two nodes and a server stand still: nothing is committed, looks and connections hang. Those that live end, then those that stood."""
        stopped = self.random.sample(SITES, 2)
        pids = [lab.node(site).child.pid for site in stopped] + lab.server("site-b").pids()
        send(signal.SIGSTOP, pids)
        alive = next(site for site in SITES if site not in stopped)
        caller = lab.processes.start("caller", lab.node(alive).ctl_argv("pause", "app"), lab.node(alive).log.parent / "callers.log")
        self.pause(2)
        try:
            self.end(alive)
        finally:
            send(signal.SIGCONT, pids)
        lab.processes.end(caller)
        self.pause(0.3)
        self.end_all()
        self.start(*SITES)
        lab.await_leader()
        self.resume(lab, "site-c")

    def resume(self, lab, site):
        """Leadership goes back to the witness about now; a command on its way meanwhile is answered "unknown" after up to 10 s, and may be given again."""
        lab.until(lambda: lab.node(site).ctl_text("resume", "app"), 30, "the service resumed")

    def end_in_an_operation(self, lab):
        """PostgreSQL at site-a dies; while the operation runs each node is ended and started again and again, until it is done."""
        lab.a.kill_postgres()
        deadline = time.monotonic() + 120
        while not self.operation_done(lab):
            self.assertLess(time.monotonic(), deadline, "the operation was not done in 120 s")
            site = self.random.choice(SITES)
            self.end(site)
            self.start(site)
            self.pause(2)
        self.end_all()

    def operation_done(self, lab):
        try:
            incidents = lab.node("site-c").ctl("incidents")["incidents"]
            return bool(incidents) and incidents[0]["state"] == "done"
        except LabError:
            return False


if __name__ == "__main__":
    support.main()
