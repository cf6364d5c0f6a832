"""Digest headers (RFC 9530)."""

import base64
import hashlib

import pytest

from docsave_services.errors import BadRequest, DigestMismatch
from gateway_http.digests import Digests

CONTENT = b'{"hello": "world"}\n'
SHA_256 = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
"""Appendix B.1 of the RFC."""


def value_of(algorithm: str, content: bytes = CONTENT) -> str:
    return base64.b64encode(hashlib.new(algorithm, content).digest()).decode()


SHA_512 = f"sha-512=:{value_of('sha512')}:"


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("header", [SHA_256, SHA_512, f"{SHA_512},\t{SHA_256};a=1", f"md5=:AAAA:, {SHA_256}", "", None])
def test_what_fits(header: str | None, known: bool) -> None:
    """One, both, or none that is known; whether the hash is made here or brought along."""
    digests = Digests(header, sha256_is_known=known)
    for n in range(len(CONTENT)):
        digests.update(CONTENT[n : n + 1])
    digests.verify(hashlib.sha256(CONTENT).hexdigest() if known else "")


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("headers", [(SHA_256,), (SHA_512,), (None, SHA_256), ("sha-256=:AAAA:",), ("sha-512=::",)])
def test_what_does_not_fit(headers: tuple[str | None, ...], known: bool) -> None:
    """One wrong byte is enough, and so is one of several digests."""
    content = CONTENT[:-1]
    digests = Digests(*headers, sha256_is_known=known)
    digests.update(content)
    with pytest.raises(DigestMismatch):
        digests.verify(hashlib.sha256(content).hexdigest() if known else "")


@pytest.mark.parametrize(
    "header",
    ["sha-256", "sha-256=RK", "sha-256=:*:", "sha-256=:AAAA", "md5", '"a"', "sha-256=(:AAAA:)", "SHA-256=:AAAA:", "é"],
)
def test_what_cannot_be_read(header: str) -> None:
    """It is no dictionary of byte sequences."""
    with pytest.raises(BadRequest):
        Digests(header)
