"""Pages of lists of files. The files service spells them for clients; here they only pass through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from werkzeug.wrappers import Response

from docsave_services.contracts import PageText, error_of
from docsave_services.errors import InternalError
from gateway_http.coalescer import Coalescer
from gateway_http.limits import LISTED_TOGETHER_MAX, LISTS_ABREAST, LISTS_BATCH_MAX
from gateway_http.responses import text_response

Asked = dict[str, Any]
"""The arguments of ``files.list``."""


class Lists:
    """Lists that are asked for while a call is under way travel together in the next one; long pages go alone."""

    def __init__(self, call: Callable[[list[Asked]], list[PageText]]) -> None:
        """``call`` is ``files.list_many``."""
        self._call = call
        self._together: Coalescer[Asked, PageText] = Coalescer(call, batch_max=LISTS_BATCH_MAX, abreast=LISTS_ABREAST)

    def page(self, asked: Asked) -> Response:
        """The page as its answer; raises the coded error of a list that was refused."""
        long = asked.get("limit", 0) > LISTED_TOGETHER_MAX
        found = self._call([asked])[0] if long else self._together.submit(asked)
        if not found["ok"]:
            raise error_of(found)
        if "page" not in found:
            raise InternalError
        return text_response(found["page"])
