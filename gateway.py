"""The HTTP API (CONTRACT, section 3): one short method a route. What happens inside is in ``gateway_http``."""

from __future__ import annotations

from typing import Any

from werkzeug.wrappers import Response

from docsave_services import __version__
from docsave_services.contracts import GATEWAY, USERS
from docsave_services.nameko_ext import DeadlineRpc, PromptStop, RequestContext
from docsave_services.settings import SettingsProvider
from gateway_http.auth import Access, check_registration
from gateway_http.blob_access import BlobStoreProvider
from gateway_http.documents import DocumentsProvider
from gateway_http.download import content_response
from gateway_http.readiness import Readiness, ReadinessProvider
from gateway_http.request import GatewayRequest
from gateway_http.responses import created_file, created_user, file_response, no_content
from gateway_http.route import route
from gateway_http.schemas import Credentials, FileListQuery, FilePatch, NewUser, UserPatch
from gateway_http.upload import receive_content, receive_new_file


class Gateway:
    """HTTP in, RPC to the services, bytes to and from the blob store. It owns nothing and keeps nothing."""

    name = GATEWAY

    settings = SettingsProvider("secret_key")
    request_context = RequestContext()
    prompt_stop = PromptStop()
    users = DeadlineRpc(USERS)
    documents = DocumentsProvider()
    blobs = BlobStoreProvider()
    readiness: Readiness = ReadinessProvider()

    @route("POST", "/users", access=Access.REGISTRATION)
    def create_user(self, request: GatewayRequest) -> Response:
        """Create an account."""
        new = request.json_as(NewUser)
        check_registration(self.settings, request)
        return created_user(self.users("create", **new.model_dump(exclude_none=True)))

    @route("POST", "/login", access=Access.PUBLIC)
    def log_in(self, request: GatewayRequest) -> Any:
        """Trade login and password for an access token."""
        return self.users("log_in", **request.json_as(Credentials).model_dump())

    @route("GET", "/users/me")
    def get_me(self, request: GatewayRequest) -> Any:
        """The caller's account."""
        return self.users("get", user_id=request.identity.user_id)

    @route("PATCH", "/users/me")
    def update_me(self, request: GatewayRequest) -> Any:
        """Change the caller's account; login and password need the current password."""
        changes = request.json_as(UserPatch).model_dump(exclude_unset=True)
        return self.users("update", user_id=request.identity.user_id, require_current_password=True, **changes)

    @route("POST", "/files")
    def create_file(self, request: GatewayRequest) -> Response:
        """Save a file."""
        upload = receive_new_file(request, self.blobs)
        return created_file(self.documents.create(request, upload))

    @route("GET", "/files")
    def list_files(self, request: GatewayRequest) -> Any:
        """One page of the caller's files."""
        return self.documents.page(request.identity, request.query_as(FileListQuery))

    @route("GET", "/files/<id:file_id>")
    def get_file(self, request: GatewayRequest, file_id: int) -> Response:
        """A file's metadata."""
        return file_response(self.documents.find(request.identity, file_id))

    @route("GET", "/files/<id:file_id>/content")
    def get_content(self, request: GatewayRequest, file_id: int) -> Response:
        """A file's bytes; HEAD gives their headers."""
        return content_response(request, self.blobs, self.documents.find(request.identity, file_id))

    @route("PUT", "/files/<id:file_id>/content")
    def replace_content(self, request: GatewayRequest, file_id: int) -> Response:
        """Save new content, as a new version."""
        self.documents.find(request.identity, file_id)  # refused before its bytes: a blob of nobody's would be left
        upload = receive_content(request, self.blobs)
        return file_response(self.documents.replace_content(request, file_id, upload))

    @route("PATCH", "/files/<id:file_id>")
    def rename_file(self, request: GatewayRequest, file_id: int) -> Response:
        """Give a file another name."""
        return file_response(self.documents.rename(request, file_id, request.json_as(FilePatch).name))

    @route("DELETE", "/files/<id:file_id>")
    def delete_file(self, request: GatewayRequest, file_id: int) -> Response:
        """Put a file into the trash."""
        self.documents.delete(request, file_id)
        return no_content()

    @route("GET", "/health/live", access=Access.PUBLIC)
    def live(self, request: GatewayRequest) -> Any:
        """The process answers."""
        return {"status": "ok", "version": __version__}

    @route("GET", "/health/ready", access=Access.PUBLIC)
    def ready(self, request: GatewayRequest) -> Response:
        """Everything the API needs answers."""
        return self.readiness.report()
