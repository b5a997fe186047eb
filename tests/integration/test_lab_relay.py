"""The relay between the lab's sites does to packets what it is told, in the direction that it is told, and nothing else.

Real UDP and TCP through two network namespaces. Environment: COORD_BUILD (the build directory).
"""
import ctypes
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(SOURCE))
from lab.network import NamespaceNetwork  # noqa: E402
from lab.processes import CLONE_NEWNET, LabError, Processes, leave_on_signals  # noqa: E402

BUILD = Path(os.environ["COORD_BUILD"])
COUNT = 500
QUIET_S = 0.4  # so long without a packet: the rest is lost
libc = ctypes.CDLL(None, use_errno=True)


def enter(path):
    with open(path, "rb") as namespace:
        if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {path}")


class Relay(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = Path(tempfile.mkdtemp(prefix="coord-relay-", dir="/tmp"))
        cls.processes = Processes()
        cls.addClassCleanup(shutil.rmtree, cls.work)
        cls.addClassCleanup(cls.processes.end_all)
        cls.network = NamespaceNetwork([("site-a", 1), ("site-b", 1)], cls.processes, BUILD / "lab/lab_relay", cls.work / "network.log")
        cls.network.start()

    def setUp(self):
        self.network.heal()
        self.a = self.at("site-a", socket.SOCK_DGRAM)
        self.b = self.at("site-b", socket.SOCK_DGRAM)

    def at(self, site, kind):
        """A socket that stays in the site's namespace, bound to the site's address."""
        enter(f"/proc/{self.network.namespace(site)}/ns/net")
        try:
            made = socket.socket(socket.AF_INET, kind)
        finally:
            enter(f"/proc/{self.network.child.pid}/ns/net")  # the relay has stayed where this program is
        self.addCleanup(made.close)
        made.bind((self.network.address(site), 0))
        return made

    def send(self, source, target, count=COUNT):
        """Sends numbered packets; gives the numbers as they arrive."""
        found = []
        for number in range(count):
            source.sendto(number.to_bytes(4, "big"), target.getsockname())
            if number % 20 == 19:
                found += self.receive(target, 0.002)
        return found + self.receive(target, QUIET_S)

    @staticmethod
    def receive(target, patience_s):
        found = []
        target.settimeout(patience_s)
        try:
            while True:
                found.append(int.from_bytes(target.recv(64), "big"))
        except TimeoutError:
            return found

    def test_a_healthy_network_carries_everything_once_and_in_order(self):
        self.assertEqual(self.send(self.a, self.b), list(range(COUNT)))
        self.assertEqual(self.send(self.b, self.a), list(range(COUNT)))

    def test_one_direction_is_cut_and_the_other_is_not(self):
        self.network.deafen("site-b")
        self.assertEqual(self.send(self.a, self.b), [])
        self.assertEqual(self.send(self.b, self.a), list(range(COUNT)))
        self.network.heal()
        self.network.mute("site-b")
        self.assertEqual(self.send(self.a, self.b), list(range(COUNT)))
        self.assertEqual(self.send(self.b, self.a), [])

    def test_a_share_is_lost_and_counted(self):
        before = self.network.counts()["lost"]
        self.network.shape_sites(loss=30)
        arrived = self.send(self.a, self.b)
        self.assertTrue(COUNT * 0.55 < len(arrived) < COUNT * 0.85, f"{len(arrived)} of {COUNT}")
        self.assertEqual(arrived, sorted(set(arrived)))
        self.assertEqual(self.network.counts()["lost"] - before, COUNT - len(arrived))

    def test_a_share_arrives_twice(self):
        self.network.shape_sites(duplicate=20)
        arrived = self.send(self.a, self.b)
        self.assertEqual(sorted(set(arrived)), list(range(COUNT)))
        self.assertTrue(COUNT * 1.1 < len(arrived) < COUNT * 1.35, f"{len(arrived)} of {COUNT}")

    def test_a_share_arrives_late_and_out_of_order(self):
        self.network.shape_sites(reorder=20)
        arrived = self.send(self.a, self.b)
        self.assertEqual(sorted(arrived), list(range(COUNT)))
        overtaken = sum(1 for earlier, later in zip(arrived, arrived[1:]) if later < earlier)
        self.assertGreater(overtaken, 5)

    def test_a_delay_with_jitter_keeps_the_order_and_is_not_shorter_than_told(self):
        self.network.shape("site-a", "site-b", delay_ms=100, jitter_ms=40)
        started = time.monotonic()
        self.a.sendto(b"\0\0\0\0", self.b.getsockname())
        self.assertEqual(self.receive(self.b, 2)[:1], [0])
        self.assertGreaterEqual(time.monotonic() - started, 0.06)
        self.assertEqual(self.send(self.a, self.b), list(range(COUNT)))

    def test_tcp_gets_through_everything_at_once(self):
        self.network.shape_sites(loss=10, duplicate=10, reorder=10, delay_ms=5, jitter_ms=5)
        listener, client = self.at("site-b", socket.SOCK_STREAM), self.at("site-a", socket.SOCK_STREAM)
        listener.listen()
        client.settimeout(60)
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
        self.addCleanup(accepted.close)
        content = os.urandom(100_000)
        sender = threading.Thread(target=client.sendall, args=(content,))
        sender.start()
        accepted.settimeout(60)
        received = b""
        while len(received) < len(content):
            received += accepted.recv(65536)
        sender.join()
        self.assertEqual(received, content)

    def test_a_command_that_makes_no_sense_is_refused(self):
        for words in ({"loss": 101}, {"delay_ms": 1, "jitter_ms": 2}, {"nonsense": 1}):
            with self.assertRaisesRegex(LabError, "unknown command or value"):
                self.network.shape("site-a", "site-b", **words)


if __name__ == "__main__":
    leave_on_signals()
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare: this test wants root")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    unittest.main()
