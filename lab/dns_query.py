"""A client's look at one name server: one question over UDP, no cache, no search list."""
from __future__ import annotations

import secrets
import socket
import struct

TYPE_A = 1
TYPE_TXT = 16


class DnsError(Exception):
    """The server did not answer the question."""


def query(server: tuple[str, int], name: str, kind: int = TYPE_A, timeout_s: float = 0.5) -> list[str]:
    """The values of the records of this name and type; an empty list when there are none."""
    number = secrets.randbits(16)
    question = _encode_name(name) + struct.pack(">HH", kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout_s)
        try:
            sock.connect(server)
            sock.send(struct.pack(">HHHHHH", number, 0, 1, 0, 0, 0) + question)
            answer = sock.recv(4096)
        except OSError as error:
            raise DnsError(f"{server[0]}:{server[1]} about {name}: {error}") from error
    return _decode(answer, number, kind)


def _encode_name(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".")) + b"\0"


def _decode(answer: bytes, number: int, kind: int) -> list[str]:
    try:
        got, flags, questions, answers, _, _ = struct.unpack_from(">HHHHHH", answer)
        if got != number or not flags & 0x8000:
            raise DnsError("an answer to another question")
        if flags & 15 not in (0, 3):
            raise DnsError(f"response code {flags & 15}")
        at = 12
        for _ in range(questions):
            at = _skip_name(answer, at) + 4
        values = []
        for _ in range(answers):
            at = _skip_name(answer, at)
            got_kind, _, _, length = struct.unpack_from(">HHIH", answer, at)
            data = answer[at + 10 : at + 10 + length]
            at += 10 + length
            if got_kind == kind == TYPE_A:
                values.append(socket.inet_ntoa(data))
            elif got_kind == kind == TYPE_TXT:
                values.append(_decode_strings(data))
        return values
    except (struct.error, IndexError, OSError) as error:
        raise DnsError(f"malformed answer: {error}") from error


def _skip_name(message: bytes, at: int) -> int:
    while message[at] != 0:
        if message[at] & 0xC0:
            return at + 2
        at += 1 + message[at]
    return at + 1


def _decode_strings(data: bytes) -> str:
    out, at = "", 0
    while at < len(data):
        out += data[at + 1 : at + 1 + data[at]].decode(errors="replace")
        at += 1 + data[at]
    return out
