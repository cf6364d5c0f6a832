"""Placing and ending legal holds: in the backup first, whose copies they keep, then where documents are removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from docsave_services.contracts import Hold
from docsave_services.errors import NotFound
from docsave_services.nameko_ext import RpcCaller
from gateway_http.request import GatewayRequest


@dataclass(frozen=True, slots=True)
class Holds:
    """Both calls are harmless when repeated: whoever got no answer, or half of it done, asks again."""

    files: RpcCaller
    backup: RpcCaller

    def place(self, request: GatewayRequest, reason: str, file_id: int, version: int | None = None) -> Hold:
        """Hold a file or a version of it. What is held already stays as it is."""
        by = request.identity.user_id
        hold = cast(Hold, self.backup("hold", file_id=file_id, version=version, reason=reason, by=by))
        owner, reason = hold["user_id"], hold["reason"]
        self.files("hold", file_id=file_id, version=version, user_id=owner, reason=reason, **request.actor)
        return hold

    def release(self, request: GatewayRequest, file_id: int, version: int | None = None) -> None:
        """End a hold. ``NotFound`` when there is none."""
        wanted = {"file_id": file_id, "version": version}
        try:
            self.backup("release", by=request.identity.user_id, **wanted)
        except NotFound:
            if not self.files("release", **wanted, **request.actor):  # else only half of it was done before
                raise
        else:
            self.files("release", **wanted, **request.actor)
