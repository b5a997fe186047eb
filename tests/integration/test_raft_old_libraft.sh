#!/bin/bash
# The room raft/ on the libraft that Debian 12 gives by default (0.15.0): compiles, and its unit tests pass. Usage: SOURCE_DIR [KEEP_DIR]
# Exit code 77 (skipped) when the packages cannot be had.
set -euo pipefail
source_dir=$1
work=${2:-$(mktemp -d /tmp/test-raft-old-XXXXXX)}
[ $# -ge 2 ] || trap 'rm -rf "$work"' EXIT
mkdir -p "$work/deb" "$work/unpacked"
if [ ! -e "$work/unpacked/usr/include/raft.h" ]; then
    cd "$work/deb"
    apt-get -q download libraft-dev=0.15.0-1 libraft2=0.15.0-1 >/dev/null 2>&1 || { echo "libraft 0.15.0-1 is not in this machine's apt sources"; exit 77; }
    for package in ./*.deb; do dpkg -x "$package" "$work/unpacked"; done
fi
if grep -q RAFT_VERSION_NUMBER "$work/unpacked/usr/include/raft.h"; then echo "that is not the old libraft"; exit 1; fi
tests="test_raft_entry test_raft_io_guard test_raft_node test_raft_forward"
cmake -S "$source_dir" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCOORD_SANITIZE=ON -DCOORD_RAFT_PREFIX="$work/unpacked" >"$work/log" 2>&1 ||
    { cat "$work/log"; exit 1; }
# shellcheck disable=SC2086
ninja -C "$work/build" -j2 $tests >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
for test in $tests; do
    "$work/build/tests/$test"
    ldd "$work/build/tests/$test" | grep "$work/unpacked/.*libraft.so.2" >/dev/null || { echo "$test ran on another libraft"; exit 1; }
done
