"""What the tests of running coordds share: a lab in a network namespace of its own, whose logs stay when a test fails. Environment: COORD_BUILD."""
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(SOURCE))
from lab.network import SITES  # noqa: E402
from lab.processes import CLONE_NEWNET, leave_on_signals  # noqa: E402
from lab.sites import Lab  # noqa: E402

BUILD = Path(os.environ["COORD_BUILD"])


class LabTest(unittest.TestCase):
    note = ""  # said with where the logs are

    def setUp(self):
        self.work = Path(tempfile.mkdtemp(prefix="coord-test-", dir="/tmp"))
        self.lab = Lab(self.work, BUILD, source=SOURCE)

    def tearDown(self):
        self.lab.end()
        if any(error for _, error in self._outcome.result.failures + self._outcome.result.errors):
            print(f"{self.note}logs: {self.work}/log")
        else:
            shutil.rmtree(self.work)

    def make_nodes(self):
        """A node at each site, bootstrapped and not started, without databases."""
        self.lab.network.start()
        self.lab._prepare()
        self.lab._make_sites()
        for site in SITES:
            self.lab.node(site).bootstrap()


def main():
    leave_on_signals()
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare: this test wants root")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    unittest.main()
