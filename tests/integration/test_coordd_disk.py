"""coordd before a data_dir that must not be started from: exit 3 with the file and the way out, the way out, and what remains. And before a
disk that fills, and when its directory is worth nothing any more because the node was removed.

Environment: COORD_BUILD (the build directory).
"""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

BUILD = Path(os.environ["COORD_BUILD"])
COORDD = BUILD / "coordinator/coordd"
COORDCTL = BUILD / "coordinator/coordctl"
MIB = 1 << 20


class Disk(unittest.TestCase):
    def setUp(self):
        self.work = Path(tempfile.mkdtemp(prefix="coordd-disk-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.work)
        self.data = self.work / "disk/data"
        self.data.parent.mkdir()
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

    def coordd(self, verb, *options):
        return subprocess.run([COORDD, verb, "-c", self.file, *options], capture_output=True, text=True, timeout=60, check=False)

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

    def join(self, node_id):
        text = self.file.read_text(encoding="utf-8")
        self.file.write_text(re.sub(r"id: \d+, node: a1", f"id: {node_id}, node: a1", text), encoding="utf-8")
        return self.coordd("join", "--cluster", "0123456789abcdef")

    def not_done(self, done, *words):
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertFalse((self.data / "node").exists())

    def quarantine(self):
        self.assertEqual(self.coordd("quarantine").returncode, 0)
        aside, = self.data.glob("quarantine-*")
        return aside

    def test_who_was_put_aside_comes_back_under_a_new_id_only(self):
        self.bootstrap()
        done = self.coordd("bootstrap")
        self.assertEqual(done.returncode, 1)
        self.assertIn("never by a second bootstrap", done.stderr)
        self.assertNotIn("quarantine", done.stderr)
        aside = self.quarantine()
        self.not_done(self.coordd("bootstrap"), str(aside), "under a new id", "coordctl members add", "coordd join",
                      "never by a second bootstrap", "move that directory away")
        self.not_done(self.join(1), str(aside), "node 1", "under a new id", "coordctl members add",
                      "move that directory away")
        done = self.join(4)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("of cluster 0123456789abcdef, generation 1; now: coordd run", done.stdout)
        done = self.join(5)
        self.assertEqual(done.returncode, 1)
        self.assertIn("coordd quarantine", done.stderr)

    def test_an_aside_that_cannot_be_read_is_named(self):
        self.bootstrap()
        aside = self.quarantine()
        (aside / "identity").write_bytes(b"noise")
        self.not_done(self.coordd("bootstrap"), str(aside), "never by a second bootstrap")
        done = self.join(4)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"event=quarantine_unreadable directory={aside} joins_as=4", done.stderr)

    def test_a_new_cluster_begins_where_the_aside_was_moved_away(self):
        self.bootstrap()
        self.quarantine().rename(self.work / "kept")
        self.bootstrap()

    def test_a_witness_comes_back_as_a_witness(self):
        text = self.file.read_text(encoding="utf-8").replace("node: a1\nsite: site-a", "node: c1\nsite: site-c")
        self.file.write_text(text.replace('listen: "127.93.4.1', 'listen: "127.93.4.3'), encoding="utf-8")
        self.bootstrap()
        done = self.coordd("quarantine")
        self.assertIn("coordctl members add c1 --site site-c --address 127.93.4.3:7400 --witness ", done.stdout)

    @unittest.skipUnless(os.geteuid() == 0, "becomes another user")
    def test_another_user_is_told_whom_the_directory_belongs_to(self):
        self.bootstrap()
        for path in (self.work, self.data.parent):
            path.chmod(0o755)
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", COORDD, "quarantine", "-c", self.file]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(f"Permission denied: {self.data} belongs to the user root (uid 0): be that user", done.stderr)
        self.assertNotIn("nothing to put aside", done.stderr)
        self.assertTrue((self.data / "node").exists())

    def test_a_directory_that_is_gone_ends_with_3(self):
        self.refused(3, str(self.data), "never bootstrapped", "never by a second bootstrap")
        done = self.coordd("quarantine")
        self.assertEqual(done.returncode, 1)
        self.assertIn("nothing to put aside", done.stderr)

    def test_the_directory_of_another_node_ends_with_1(self):
        self.bootstrap()
        text = self.file.read_text(encoding="utf-8").replace("node: a1\nsite: site-a", "node: b1\nsite: site-b")
        self.file.write_text(text.replace('listen: "127.93.4.1', 'listen: "127.93.4.2'), encoding="utf-8")
        self.refused(1, "was bootstrapped as node 1", "id 2")

    def small_disk(self, size):
        disk = self.data.parent
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], check=True)
        self.addCleanup(subprocess.run, ["umount", disk], check=True)
        return disk

    def start(self, name="coordd"):
        log = self.work / f"{name}.log"
        with log.open("wb") as out:
            child = subprocess.Popen([COORDD, "run", "-c", self.file], stdout=out, stderr=subprocess.STDOUT)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        return child, log

    def await_log(self, log, *words):
        """A line that has all of the words."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            text = log.read_text(encoding="utf-8")
            if any(all(word in line for word in words) for line in text.splitlines()):
                return
            time.sleep(0.1)
        self.fail(f"not logged in 20 s: {words}; {text}")

    def status(self, *options):
        return subprocess.run([COORDCTL, "-S", self.work / "coordd.sock", "status", *options],
                              capture_output=True, text=True, timeout=20, check=True).stdout

    def disk(self):
        return json.loads(self.status("--json"))["node"]["disk"]

    def test_a_disk_that_fills_is_said_while_there_is_room(self):
        disk = self.small_disk("400m")
        self.bootstrap()
        child, log = self.start()
        self.await_log(log, "event=started")
        self.assertEqual(self.disk()["health"], "ok")
        with (disk / "other").open("wb") as other:
            os.posix_fallocate(other.fileno(), 0, 200 * MIB)
            self.await_log(log, "level=warning event=disk_space_low", str(self.data))
            self.assertEqual(self.disk()["health"], "warning")
            self.assertLess(self.disk()["free_bytes"], 256 * MIB)
            self.assertRegex(self.status(), rf"warning: \d+ MiB free on the disk of {self.data}: .*\n  way out: make room there")
            os.posix_fallocate(other.fileno(), 0, 330 * MIB)
            self.await_log(log, "level=error event=disk_space_low", "would not start again")
            self.assertEqual(self.disk()["health"], "critical")
            other.truncate(0)
        self.await_log(log, "event=disk_space_back")
        self.assertEqual(self.disk()["health"], "ok")
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(10), 0, log.read_text(encoding="utf-8"))

    def cluster(self):
        """Three nodes on this host: by name, the file and the socket of each."""
        made = {}
        for number, (node, site) in enumerate((("a1", "site-a"), ("b1", "site-b"), ("c1", "site-c")), 1):
            text = self.file.read_text(encoding="utf-8").replace("node: a1\nsite: site-a", f"node: {node}\nsite: {site}")
            text = text.replace('listen: "127.93.4.1', f'listen: "127.93.4.{number}').replace(str(self.data), f"{self.data}-{node}")
            made[node] = self.work / f"{node}.yaml"
            made[node].write_text(text.replace("coordd.sock", f"{node}.sock"), encoding="utf-8")
        return made

    def ctl(self, node, *words):
        return subprocess.run([COORDCTL, "-S", self.work / f"{node}.sock", *words], capture_output=True, text=True, timeout=20, check=False)

    def role(self, node):
        done = self.ctl(node, "status", "--json")
        return json.loads(done.stdout)["node"]["role"] if done.returncode == 0 else None

    def all_heard(self, node):
        done = self.ctl(node, "members", "list", "--json")
        return done.returncode == 0 and [member["heard"] for member in json.loads(done.stdout)["members"]] == [True] * 3

    def test_a_node_that_is_asked_to_remove_itself_answers_and_ends_with_4(self):
        children = {}
        for node, self.file in self.cluster().items():
            self.bootstrap()
            children[node] = self.start(node)
        deadline = time.monotonic() + 20
        while sorted(map(str, map(self.role, children))) != ["follower", "follower", "leader"] or not all(map(self.all_heard, children)):
            self.assertLess(time.monotonic(), deadline, "no leader in 20 s that hears them all")
            time.sleep(0.1)
        node = next(node for node in children if self.role(node) == "follower")
        done = self.ctl(node, "members", "remove", node)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        child, log = children[node]
        self.assertEqual(child.wait(10), 4, log.read_text(encoding="utf-8"))
        lines = log.read_text(encoding="utf-8")
        self.assertIn("event=removed", lines)
        self.assertIn(f'data_dir={self.data}-{node} fix="this node was removed from the cluster: stop its service; to bring the host back: '
                      f'coordd quarantine, then coordctl members add {node} at a node that runs"', lines)
        for word in ("Sanitizer", "handles_left", "runtime error"):
            self.assertNotIn(word, lines)
        self.file = self.work / f"{node}.yaml"
        child, log = self.start(node)
        self.assertEqual(child.wait(10), 4, log.read_text(encoding="utf-8"))  # whoever was down is told when it starts

    def test_too_little_room_to_start_ends_with_1(self):
        self.small_disk("120m")
        self.bootstrap()
        self.refused(1, "MiB free; a node needs 128 MiB")


if __name__ == "__main__":
    unittest.main()
