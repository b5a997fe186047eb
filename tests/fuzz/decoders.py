"""Which fuzz program reaches which reader of bytes. By its name a reader is one (`*_decode`, `*_parse`), and it stands in a fuzz program by name, or here
with the program that reaches it through something else."""
from __future__ import annotations

import re
from pathlib import Path

ROOMS = ("coordinator", "raft", "dns", "fencing", "postgres", "deploy")
DEFINED = re.compile(r"^[A-Za-z_][\w\s*]*?\b(\w+_(?:decode|parse))\((?!.*;\s*$)", re.MULTILINE)

REACHED: dict[str, str] = {
    "address_parse": "config",
    "port_parse": "config",
    "http_target_parse": "http_server",
    "key_parse": "tsig_key",
}


def check(source: Path) -> list[str]:
    programs = {path.stem.removeprefix("fuzz_"): path.read_text(encoding="utf-8") for path in (source / "tests/fuzz").glob("fuzz_*.c")}
    named = "".join(programs.values())
    defined = {name: path for room in ROOMS for path in sorted((source / room).rglob("*.c"))
               for name in DEFINED.findall(path.read_text(encoding="utf-8"))}
    wrong = [f"{path.relative_to(source)}: {name} has no fuzz program; if one reaches it, say which in tests/fuzz/decoders.py"
             for name, path in defined.items() if name not in REACHED and not re.search(rf"\b{name}\b", named)]
    wrong += [f"tests/fuzz/decoders.py: {name}: there is no such function" for name in REACHED if name not in defined]
    wrong += [f"tests/fuzz/decoders.py: {name}: there is no fuzz program {target}" for name, target in REACHED.items() if target not in programs]
    return wrong
