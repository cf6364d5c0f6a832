"""A small client of tus, for requests that the real clients never send."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
from typing import Any

import requests

from tests.integration.gateway_process import GatewayProcess, bearer, head_of

PIECE = "application/offset+octet-stream"


def metadata(**values: Any) -> str:
    """``Upload-Metadata``; what is no text becomes JSON."""
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    return ",".join(f"{key} {base64.b64encode(text.encode()).decode()}" for key, text in texts.items())


def checksum(content: bytes, algorithm: str = "sha1") -> str:
    """``Upload-Checksum`` of a piece."""
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, content).digest()).decode()}"


class TusClient:
    """One user at one gateway."""

    def __init__(self, gateway: GatewayProcess, user_id: int = 1) -> None:
        self.gateway = gateway
        self.headers = {"Tus-Resumable": "1.0.0", **bearer(user_id)}

    def create(self, length: int | None, content: bytes | None = None, **headers: str) -> requests.Response:
        """``POST /uploads``, with the first piece when there is ``content``."""
        wanted = {"Upload-Metadata": metadata(filename="a.bin"), **headers}
        if length is not None:
            wanted["Upload-Length"] = str(length)
        if content is not None:
            wanted["Content-Type"] = PIECE
        return self.request("POST", "/uploads", data=content, headers=wanted)

    def begin(self, length: int, **headers: str) -> str:
        """The path of a new upload."""
        answer = self.create(length, **headers)
        assert answer.status_code == 201, answer.text
        return answer.headers["Location"]

    def send(self, path: str, offset: int, content: bytes, **headers: str) -> requests.Response:
        """One piece."""
        wanted = {"Content-Type": PIECE, "Upload-Offset": str(offset), **headers}
        return self.request("PATCH", path, data=content, headers=wanted)

    def look(self, path: str) -> requests.Response:
        """``HEAD``."""
        return self.request("HEAD", path)

    def offset(self, path: str) -> int:
        """Where the upload stands."""
        answer = self.look(path)
        assert answer.status_code == 200, answer.headers
        return int(answer.headers["Upload-Offset"])

    def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, **kwargs: Any
    ) -> requests.Response:
        """Any request, with the version and the token."""
        return self.gateway.request(method, path, headers=self.headers | (headers or {}), **kwargs)

    def open_piece(self, path: str, offset: int, length: int, content: bytes, **headers: str) -> socket.socket:
        """A connection on which ``content``, the beginning of a piece of ``length`` bytes, has been sent."""
        sock = self.gateway.connect()
        lines = {
            **self.headers,
            "Host": "x",
            "Content-Type": PIECE,
            "Upload-Offset": str(offset),
            "Content-Length": str(length),
            "Expect": "100-continue",
            **headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        sock.sendall(f"PATCH {path} HTTP/1.1\r\n{head}\r\n".encode())
        assert head_of(sock).startswith(b"HTTP/1.1 100")  # from now on this connection holds the upload
        sock.sendall(content)
        return sock
