"""STYLE.md as a test: who includes whom, lengths, words, format, and that core/ is pure. `tests/run tidy` runs it."""
from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz import decoders
from tests.model import check as model
from tests.result import Result
from tests.sim import mutants

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70

ROOMS = ("coordinator/base", "coordinator/core", "coordinator/io", "coordinator/probe", "coordinator/holder", "coordinator/exec",
         "coordinator/api", "coordinator/ctl", "coordinator/config", "raft", "postgres", "dns", "fencing/lease_guard", "fencing", "deploy", "coordinator")
BELOW = {"coordinator/base", "coordinator/core", "coordinator/io"}
ADAPTERS = {"coordinator/probe", "postgres", "dns", "fencing", "deploy"}
# Whom each room may include besides itself.
MAY_INCLUDE: dict[str, set[str]] = {
    "coordinator/base": set(),
    "coordinator/core": {"coordinator/base"},
    "coordinator/io": {"coordinator/base"},
    "raft": BELOW,
    "coordinator/holder": BELOW,
    "coordinator/ctl": {"coordinator/base", "coordinator/io"},
    "fencing/lease_guard": set(),
    "coordinator/exec": BELOW | ADAPTERS | {"raft", "coordinator/holder"},
    "coordinator/api": BELOW | ADAPTERS | {"raft", "coordinator/holder", "coordinator/exec", "coordinator/config"},
    "coordinator/config": BELOW,
    "coordinator": set(ROOMS),
    **{room: BELOW for room in ADAPTERS},
}
# The headers of other people's libraries, and the only places that know them (a room, or files of io by their first word).
LIBRARIES: dict[str, set[str]] = {
    r"raft(/|\.h)": {"raft"},
    r"libpq": {"coordinator/io"},
    r"curl/": {"coordinator/io"},
    r"ares": {"coordinator/io"},
    r"ldns/": {"coordinator/io"},
    r"libfyaml": {"coordinator/io"},
    r"jansson": {"coordinator/io"},
    r"llhttp": {"coordinator/io"},
    r"openssl/": {"coordinator/io"},
}
IMPURE = re.compile(r"^(uv|time|stdio|unistd|sys/.*|pthread|locale|math|fcntl|poll|signal|netdb|arpa/.*|netinet/.*|stdlib|errno)(\.h|$)")
# What the release objects of core/ may ask of others, beside the symbols of coord_base and their own.
CORE_MAY_CALL = {"memcpy", "memset", "memcmp", "memmove", "memchr", "strlen", "strnlen", "strcmp", "strncmp", "strchr", "memrchr",
                 "__memcpy_chk", "__memset_chk", "__memmove_chk", "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_"}
WORDS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
MACHINE_PATHS = re.compile(r"(?<![\w.])/(work|home|root|Users)/\w")
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')
FUNCTION_START = re.compile(r"^[A-Za-z_][\w\s*]*\**\w+\(.*")


def sources(source: Path, *suffixes: str) -> list[Path]:
    """The files of the project as git knows them, new ones included."""
    listed = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard"], cwd=source, capture_output=True,
                            text=True, check=False)
    if listed.returncode == 0:
        names = listed.stdout.splitlines()
    else:
        names = [str(path.relative_to(source)) for path in source.rglob("*") if path.is_file() and "build" not in path.parts]
    found = [Path(name) for name in sorted(set(names)) if (source / name).is_file()]
    return [path for path in found if not suffixes or path.suffix in suffixes]


def room_of(path: Path) -> str | None:
    text = path.as_posix()
    if re.match(r"coordinator/(config|services)_?\w*\.[ch]$", text):
        return "coordinator/config"  # the readers of the two files: a room without a folder, used by coordd, coordctl and the API
    return next((room for room in ROOMS if text.startswith(room + "/")), None)


def check_includes(source: Path) -> list[str]:
    wrong = []
    files = sources(source, ".c", ".h")
    known = {path.as_posix() for path in files}
    for path in files:
        room = room_of(path)
        if room is None:
            continue
        for number, line in enumerate((source / path).read_text(encoding="utf-8").splitlines(), 1):
            found = INCLUDE.match(line)
            if found:
                reason = judge_include(path, room, found[1] == '"', found[2], known)
                if reason:
                    wrong.append(f"{path}:{number}: {reason}")
    return wrong


def judge_include(path: Path, room: str, ours: bool, name: str, known: set[str]) -> str | None:
    if ours:
        target = next((found for found in (f"{path.parent.as_posix()}/{name}", name, f"coordinator/{name}") if found in known), None)
        if target is None:  # PostgreSQL's own headers are included with quotes, by its custom
            return None if room == "fencing/lease_guard" else f'"{name}" is no file of ours'
        other = room_of(Path(target))
        if other != room and other is not None and other not in MAY_INCLUDE[room]:
            return f'{room} may not include "{name}" of {other}'
        return None
    for pattern, places in LIBRARIES.items():
        if re.match(pattern, name) and room not in places and room != "fencing/lease_guard":
            return f"<{name}> belongs to {', '.join(sorted(places))}, not to {room}"
    if room == "coordinator/core" and IMPURE.match(name):
        return f"<{name}> has no place in the pure core"
    if name.startswith("uv") and room in ("coordinator/base", "coordinator/core"):
        return f"{room} knows no event loop"
    return None


def check_io_libraries(source: Path) -> list[str]:
    """One foreign library per file of io; libuv may stand beside it."""
    wrong = []
    for path in sources(source, ".c", ".h"):
        if room_of(path) != "coordinator/io":
            continue
        text = (source / path).read_text(encoding="utf-8")
        names = [match[2] for match in map(INCLUDE.match, text.splitlines()) if match and match[1] == "<"]
        used = {pattern for pattern in LIBRARIES for name in names if re.match(pattern, name)}
        if len(used) > 1:
            wrong.append(f"{path}: {len(used)} foreign libraries in one file: {', '.join(sorted(used))}")
    return wrong


def check_file_lengths(source: Path) -> list[str]:
    wrong = []
    for path in sources(source, ".c", ".h", ".py"):
        lines = len((source / path).read_text(encoding="utf-8").splitlines())
        if lines > FILE_LINES_MAX:
            wrong.append(f"{path}: {lines} lines, at most {FILE_LINES_MAX}")
    return wrong


def check_function_lengths(source: Path) -> list[str]:
    """In the project's format a function's body begins with `{` and ends with `}` in the first column."""
    wrong = []
    for path in sources(source, ".c", ".h"):
        start, signature = 0, ""
        lines = (source / path).read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            if line == "{":
                start, signature = number, next((text for text in reversed(lines[: number - 1]) if FUNCTION_START.match(text)), "?")
            elif line == "}" and start:
                if number - start + 1 > FUNCTION_LINES_MAX:
                    wrong.append(f"{path}:{start}: {number - start + 1} lines, at most {FUNCTION_LINES_MAX}: {signature}")
                start = 0
    return wrong


def check_words(source: Path) -> list[str]:
    wrong = []
    for path in sources(source):
        if path.suffix in (".png", ".pdf") or path.is_relative_to("tests/fuzz/corpus") or path.as_posix() in ("tests/tidy.py", "docs/style.md"):
            continue
        text = (source / path).read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if WORDS.search(line):
                wrong.append(f"{path}:{number}: {WORDS.search(line)[0]}")
            if MACHINE_PATHS.search(line):
                wrong.append(f"{path}:{number}: a path of one machine: {line.strip()[:80]}")
    return wrong


def check_format(source: Path) -> list[str]:
    files = [str(path) for path in sources(source, ".c", ".h")]
    done = subprocess.run(["clang-format", "--dry-run", "--Werror", *files], cwd=source, capture_output=True, text=True, check=False)
    return [line for line in done.stderr.splitlines() if "error:" in line] if done.returncode else []


def check_core_purity(source: Path, build: Path) -> list[str]:
    library = build / "coordinator/core/libcoord_core.a"
    base = build / "coordinator/base/libcoord_base.a"
    asked, own = symbols(library, "--undefined-only"), symbols(library, "--defined-only")
    allowed = CORE_MAY_CALL | own | symbols(base, "--defined-only")
    return [f"core/ calls {name}, which is not on the list" for name in sorted(asked - allowed)]


def symbols(library: Path, which: str) -> set[str]:
    done = subprocess.run(["nm", which, str(library)], capture_output=True, text=True, check=True)
    return {line.split()[-1] for line in done.stdout.splitlines() if re.match(r"^[0-9a-f ]*\s[A-Za-z] \S+$", line)}


def check_core_has_no_state(build: Path) -> list[str]:
    """No writable data in core/: what it knows is passed to it."""
    done = subprocess.run(["objdump", "-t", str(build / "coordinator/core/libcoord_core.a")], capture_output=True, text=True, check=True)
    wrong = []
    for line in done.stdout.splitlines():
        name, _, rest = line.partition("\t")
        section = name.split()[-1] if name.split() else ""
        if re.match(r"(\.t?data|\.t?bss|\*COM\*)", section) and not section.startswith(".data.rel.ro") and rest.split()[-1] != section:
            wrong.append(f"writable data in core/: {rest.split()[-1]} in {section}")
    return wrong


def check_examples(source: Path, build: Path) -> list[str]:
    """Every example file is one that coordctl accepts."""
    wrong = []
    for path in sorted((source / "examples").glob("*.yaml")):
        done = subprocess.run([str(build / "coordinator/coordctl"), "config", "check", str(path)], capture_output=True, text=True,
                              check=False)
        if done.returncode != 0:
            wrong += [f"{path.name}: {line}" for line in (done.stderr or done.stdout).splitlines()]
    return wrong


def run(source: Path, build: Path) -> Result:
    checks = {
        "a room includes only what its row names": lambda: check_includes(source),
        "one foreign library per file of io": lambda: check_io_libraries(source),
        f"a file has at most {FILE_LINES_MAX} lines": lambda: check_file_lengths(source),
        f"a function has at most {FUNCTION_LINES_MAX} lines": lambda: check_function_lengths(source),
        "no forgotten words, no path of one machine": lambda: check_words(source),
        "formatted by clang-format": lambda: check_format(source),
        "core calls nothing impure": lambda: check_core_purity(source, build),
        "the examples pass `coordctl config check`": lambda: check_examples(source, build),
        "each reader of bytes has its fuzz program": lambda: decoders.check(source),
        "the model names C functions that exist": model.check_names,
        "the mutants fit the sources": mutants.stale,
        "core has no writable data": lambda: check_core_has_no_state(build),
    }
    result = Result()
    for name, check in checks.items():
        started = time.monotonic()
        wrong = check()
        if wrong:
            print(f"FAILED  {name}")
            for line in wrong[:30]:
                print(f"        {line}")
            if len(wrong) > 30:
                print(f"        … {len(wrong) - 30} more")
            result.failed.append(f"tidy: {name}")
        else:
            print(f"ok      {name} ({time.monotonic() - started:.1f} s)")
            result.passed += 1
    sys.stdout.flush()
    return result
