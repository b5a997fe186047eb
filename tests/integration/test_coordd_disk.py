"""coordd before a data_dir that must not be started from: exit 3 with the file and the way out, the way out, and what remains.

Environment: COORD_BUILD (the build directory).
"""
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

BUILD = Path(os.environ["COORD_BUILD"])
COORDD = BUILD / "coordinator/coordd"


class Disk(unittest.TestCase):
    def setUp(self):
        self.work = Path(tempfile.mkdtemp(prefix="coordd-disk-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.work)
        self.data = self.work / "data"
        self.file = self.work / "node.yaml"
        self.file.write_text(f"""\
node: a1
site: site-a
data_dir: {self.data}
socket: {self.work}/coordd.sock
listen: "127.93.4.1:7400"
insecure_loopback: true
cluster:
  - {{ id: 1, node: a1, site: site-a, address: "127.93.4.1:7400" }}
  - {{ id: 2, node: b1, site: site-b, address: "127.93.4.2:7400" }}
  - {{ id: 3, node: c1, site: site-c, address: "127.93.4.3:7400", witness: true }}
""", encoding="utf-8")

    def coordd(self, verb):
        return subprocess.run([COORDD, verb, "-c", self.file], capture_output=True, text=True, timeout=60, check=False)

    def bootstrap(self):
        done = self.coordd("bootstrap")
        self.assertEqual(done.returncode, 0, done.stderr)

    def refused(self, code, *words):
        done = self.coordd("run")
        self.assertEqual(done.returncode, code, done.stderr)
        last = done.stderr.strip().splitlines()[-1]
        for word in ("event=start_failed", *words):
            self.assertIn(word, last)

    def test_damage_ends_with_3_and_quarantine_gets_out(self):
        self.bootstrap()
        metadata = self.data / "node/raft/metadata1"
        content = bytearray(metadata.read_bytes())
        content[16] ^= 0x40  # the term
        metadata.write_bytes(content)
        self.refused(3, str(metadata), "term and vote", "coordd quarantine")
        done = self.coordd("quarantine")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("coordctl members remove 1", done.stdout)
        self.assertIn('coordctl members add a1 --site site-a --address 127.93.4.1:7400', done.stdout)
        aside = list(self.data.glob("quarantine-*"))
        self.assertEqual(len(aside), 1)
        self.assertEqual((aside[0] / "raft/metadata1").read_bytes(), bytes(content))
        self.assertFalse((self.data / "node").exists())
        self.refused(3, "never by a second bootstrap")

    def test_a_directory_that_is_gone_ends_with_3(self):
        self.refused(3, str(self.data), "never bootstrapped")
        done = self.coordd("quarantine")
        self.assertEqual(done.returncode, 1)
        self.assertIn("nothing to put aside", done.stderr)

    def test_the_directory_of_another_node_ends_with_1(self):
        self.bootstrap()
        text = self.file.read_text(encoding="utf-8").replace("node: a1\nsite: site-a", "node: b1\nsite: site-b")
        self.file.write_text(text.replace('listen: "127.93.4.1', 'listen: "127.93.4.2'), encoding="utf-8")
        self.refused(1, "was bootstrapped as node 1", "id 2")


if __name__ == "__main__":
    unittest.main()
