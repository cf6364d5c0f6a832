"""The HTTP API (CONTRACT, section 3): one short method a route. What happens inside is in ``gateway_http``."""

from __future__ import annotations

from typing import Any

from werkzeug.wrappers import Response

from docsave_services import __version__
from docsave_services.contracts import (
    BACKUP,
    FILE_CREATE,
    FILE_DELETE,
    FILE_PROTECTED,
    FILE_UPDATE,
    FILES,
    GATEWAY,
    REVOKED,
    USERS,
    FileEvent,
    ProtectedNews,
    Revocation,
)
from docsave_services.credentials import CredentialsProvider
from docsave_services.metrics.provider import Metrics
from docsave_services.nameko_ext import CalmCollector, DeadlineRpc, PromptStop, RequestContext, hint
from docsave_services.settings import SettingsProvider
from gateway_http.api_document import ApiDocumentProvider
from gateway_http.archive import archive_name, archive_response
from gateway_http.auth import Access
from gateway_http.blob_access import BlobStoreProvider
from gateway_http.changes import ChangesProvider
from gateway_http.console import console_page, console_settings
from gateway_http.content import content_of_file
from gateway_http.deferred import Deferred
from gateway_http.documents import DocumentsProvider
from gateway_http.download import content_response
from gateway_http.holds import Holds
from gateway_http.limits import BATCH_JSON_BYTES_MAX
from gateway_http.metrics_page import metrics_response
from gateway_http.operations import run_operations
from gateway_http.past import PastProvider, past_content
from gateway_http.protection import Protection, ProtectionProvider
from gateway_http.readiness import Readiness, ReadinessProvider
from gateway_http.references import checked_label, checked_reference
from gateway_http.request import GatewayRequest
from gateway_http.responses import (
    created_key,
    created_user,
    deleted_response,
    file_response,
    no_content,
    own_sessions,
)
from gateway_http.restore import RestoringProvider
from gateway_http.route import route
from gateway_http.schemas import (
    ArchiveQuery,
    AuditQuery,
    ChangesQuery,
    ContentQuery,
    Credentials,
    DeleteQuery,
    DeliveryListQuery,
    DownloadWanted,
    FileFields,
    FileListQuery,
    FilePatch,
    FolderListQuery,
    HoldListQuery,
    HoldWanted,
    NewApiKey,
    NewUser,
    NewWebhook,
    Operations,
    PastFileQuery,
    ProofQuery,
    Redelivery,
    ReferenceListQuery,
    RefreshToken,
    RestoreOrder,
    UploadQuery,
    UserListQuery,
    UserPatch,
    UserPatchByAdmin,
    VersionContentQuery,
    VersionListQuery,
    WebhookListQuery,
    WebhookPatch,
)
from gateway_http.static_files import StaticFile, StaticFiles, StaticFilesProvider, file_answer
from gateway_http.tickets import new_ticket
from gateway_http.tus.uploads import Uploads, UploadsProvider
from gateway_http.upload import receive_content, receive_new_file
from gateway_http.versions import VersionsProvider
from gateway_http.webhook_calls import Webhooks, WebhooksProvider, accepted


class Gateway:
    """HTTP in, RPC to the services, bytes to and from the blob store. It owns nothing and keeps nothing."""

    name = GATEWAY

    settings = SettingsProvider("secret_key")
    request_context = RequestContext()
    prompt_stop = PromptStop()
    calm_collector = CalmCollector()
    metrics: Metrics = Metrics()
    users = DeadlineRpc(USERS)
    files = DeadlineRpc(FILES)
    backup = DeadlineRpc(BACKUP)
    credentials = CredentialsProvider()
    documents = DocumentsProvider()
    versions = VersionsProvider()
    past = PastProvider()
    restoring = RestoringProvider()
    changes = ChangesProvider()
    protection: Protection = ProtectionProvider()
    blobs = BlobStoreProvider()
    uploads: Uploads = UploadsProvider()
    webhooks: Webhooks = WebhooksProvider()
    readiness: Readiness = ReadinessProvider()
    static: StaticFiles = StaticFilesProvider()
    api_document: StaticFile = ApiDocumentProvider()

    @property
    def holds(self) -> Holds:
        """Legal holds: in the backup, and where documents are removed."""
        return Holds(self.files, self.backup)

    @hint(USERS, REVOKED)
    def revoked(self, item: Revocation) -> None:
        """A session, a user's older tokens or a key is over: refused here from now on."""
        self.credentials.revocations.learn(item)

    @hint(FILES, FILE_CREATE)
    @hint(FILES, FILE_UPDATE)
    @hint(FILES, FILE_DELETE)
    def file_changed(self, event: FileEvent) -> None:
        """A hint for those who wait for changes; what it says is read from the journal when it does not fit."""
        self.changes.hear(event)

    @hint(FILES, FILE_PROTECTED)
    def file_protected(self, news: ProtectedNews) -> None:
        """A hint for those who wait until their change is safe."""
        self.protection.hear(news)

    @route("POST", "/users", Access.REGISTRATION, body=NewUser)
    def create_user(self, request: GatewayRequest, new: NewUser) -> Response:
        """Create an account."""
        return created_user(self.users("create", **new.model_dump(exclude_none=True), **request.actor))

    @route("POST", "/login", Access.PUBLIC, body=Credentials)
    def log_in(self, request: GatewayRequest, given: Credentials) -> Any:
        """Trade login and password for an access token and a refresh token."""
        agent = request.environ.get("HTTP_USER_AGENT")
        return self.users("log_in", **given.model_dump(), address=request.client_address, agent=agent)

    @route("POST", "/token/refresh", Access.PUBLIC, body=RefreshToken, revokes=True)
    def refresh(self, request: GatewayRequest, given: RefreshToken) -> Any:
        """Trade a refresh token for a new pair; the old one is spent."""
        return self.users("refresh", refresh_token=given.refresh_token, address=request.client_address)

    @route("POST", "/logout", Access.PUBLIC, body=RefreshToken, revokes=True)
    def log_out(self, request: GatewayRequest, given: RefreshToken) -> Response:
        """End the session that a refresh token belongs to."""
        self.users("log_out", refresh_token=given.refresh_token, address=request.client_address)
        return no_content()

    @route("GET", "/sessions", Access.PERSON)
    def list_sessions(self, request: GatewayRequest) -> Any:
        """Where the caller is logged in."""
        return own_sessions(self.users("list_sessions", user_id=request.identity.user_id), request.identity)

    @route("DELETE", "/sessions/<session:session>", Access.PERSON, revokes=True)
    def end_session(self, request: GatewayRequest, session: str) -> Response:
        """Log out one of the caller's sessions."""
        self.users("end_session", user_id=request.identity.user_id, session=session, **request.actor)
        return no_content()

    @route("DELETE", "/sessions", Access.PERSON, revokes=True)
    def end_other_sessions(self, request: GatewayRequest) -> Response:
        """Log out all of the caller's sessions but this one."""
        self.users("end_other_sessions", user_id=request.identity.user_id, **request.actor)
        return no_content()

    @route("GET", "/users/me", Access.PERSON)
    def get_me(self, request: GatewayRequest) -> Any:
        """The caller's account."""
        return self.users("get", user_id=request.identity.user_id)

    @route("PATCH", "/users/me", Access.PERSON, body=UserPatch, revokes=True)
    def update_me(self, request: GatewayRequest, patch: UserPatch) -> Any:
        """Change the caller's account; login and password need the current password."""
        changes = patch.model_dump(exclude_unset=True)
        return self.users(
            "update", user_id=request.identity.user_id, require_current_password=True, **changes, **request.actor
        )

    @route("GET", "/users", Access.ADMIN, query=UserListQuery)
    def list_users(self, request: GatewayRequest, query: UserListQuery) -> Any:
        """One page of all accounts."""
        return self.users("list", **query.model_dump())

    @route("GET", "/users/<id:user_id>", Access.ADMIN)
    def get_user(self, request: GatewayRequest, user_id: int) -> Any:
        """Anybody's account."""
        return self.users("get", user_id=user_id, details=True)

    @route("PATCH", "/users/<id:user_id>", Access.ADMIN, body=UserPatchByAdmin, revokes=True)
    def update_user(self, request: GatewayRequest, patch: UserPatchByAdmin, user_id: int) -> Any:
        """Change somebody's name, role, quota, or whether the account may be used."""
        changes = patch.model_dump(exclude_unset=True)
        return self.users("update", user_id=user_id, details=True, **changes, **request.actor)

    @route("POST", "/api-keys", Access.PERSON, body=NewApiKey)
    def create_key(self, request: GatewayRequest, new: NewApiKey) -> Response:
        """Make a key for a program; shown this once."""
        return created_key(
            self.users("create_key", user_id=request.identity.user_id, **new.model_dump(), **request.actor)
        )

    @route("GET", "/api-keys", Access.PERSON)
    def list_keys(self, request: GatewayRequest) -> Any:
        """The caller's keys, without the keys themselves."""
        return {"items": self.users("list_keys", user_id=request.identity.user_id)}

    @route("DELETE", "/api-keys/<id:key_id>", Access.PERSON, revokes=True)
    def revoke_key(self, request: GatewayRequest, key_id: int) -> Response:
        """End a key."""
        # In this call key_id is the key that ends: no key is ever the one who acts.
        self.users("revoke_key", user_id=request.identity.user_id, **{**request.actor, "key_id": key_id})
        return no_content()

    @route("GET", "/audit", Access.ADMIN, query=AuditQuery)
    def audit(self, request: GatewayRequest, query: AuditQuery) -> Any:
        """Who did what, newest first."""
        return self.users("audit", **query.model_dump())

    @route("GET", "/users/me/usage", Access.FILES_READ)
    def get_usage(self, request: GatewayRequest) -> Any:
        """What the caller's files take up, and the quota."""
        return self.documents.usage(request.identity.user_id)

    @route("POST", "/files", Access.FILES_WRITE, query=UploadQuery, repeatable=True)
    def create_file(self, request: GatewayRequest, query: UploadQuery) -> Response | Deferred:
        """Save a file."""
        upload = receive_new_file(request, self.blobs, self.documents.new_file(request), query)
        return self.protection.answer(request, self.documents.create(request, upload))

    @route("GET", "/files", Access.FILES_READ, query=FileListQuery)
    def list_files(self, request: GatewayRequest, query: FileListQuery) -> Any:
        """One page of the caller's files, as they are or as they were."""
        return (self.documents if query.at is None else self.past).page(request.identity, query)

    @route("GET", "/folders", Access.FILES_READ, query=FolderListQuery)
    def list_folders(self, request: GatewayRequest, query: FolderListQuery) -> Any:
        """The folders that the caller's files are in."""
        return self.documents.folders(request.identity, query)

    @route("GET", "/files/archive", Access.FILES_READ, query=ArchiveQuery, takes_tickets=True)
    def get_archive(self, request: GatewayRequest, query: ArchiveQuery) -> Response:
        """Several files in one ZIP."""
        members = self.documents.chosen(request.identity, query)
        return archive_response(request, self.blobs, members, archive_name(query.folder))

    @route("GET", "/files/<id:file_id>", Access.FILES_READ, query=PastFileQuery)
    def get_file(self, request: GatewayRequest, query: PastFileQuery, file_id: int) -> Response:
        """A file's metadata, as it is or as it was."""
        if query.at is not None:
            return file_response(self.past.find(request.identity, file_id, query.at))
        return file_response(self.documents.find(request.identity, file_id))

    @route("GET", "/files/<id:file_id>/content", Access.FILES_READ, query=ContentQuery, takes_tickets=True)
    def get_content(self, request: GatewayRequest, query: ContentQuery, file_id: int) -> Response:
        """A file's bytes, those of now or of then; HEAD gives their headers."""
        if query.at is not None:
            file = self.past.find(request.identity, file_id, query.at)
            return content_response(request, past_content(self.blobs, self.versions, file))
        file = self.documents.find(request.identity, file_id)
        return content_response(request, content_of_file(self.blobs, file))

    @route("POST", "/download-tickets", Access.FILES_READ, body=DownloadWanted)
    def create_ticket(self, request: GatewayRequest, wanted: DownloadWanted) -> Response:
        """An address that a browser can open for one download, without a header."""
        return new_ticket(request, wanted.path)

    @route("PUT", "/files/<id:file_id>/content", Access.FILES_WRITE, repeatable=True)
    def replace_content(self, request: GatewayRequest, file_id: int) -> Response | Deferred:
        """Save new content, as a new version."""
        upload = receive_content(request, self.blobs, self.documents.new_content(request, file_id))
        return self.protection.answer(request, self.documents.replace_content(request, file_id, upload))

    @route("PATCH", "/files/<id:file_id>", Access.FILES_WRITE, body=FilePatch, repeatable=True)
    def update_file(self, request: GatewayRequest, patch: FilePatch, file_id: int) -> Response | Deferred:
        """Give a file another name, folder or labels."""
        return self.protection.answer(request, self.documents.update(request, file_id, patch))

    @route("DELETE", "/files/<id:file_id>", Access.FILES_WRITE, query=DeleteQuery, repeatable=True)
    def delete_file(self, request: GatewayRequest, query: DeleteQuery, file_id: int) -> Response:
        """Put a file into the trash, or take it away for good."""
        return deleted_response(self.documents.delete(request, file_id, query.permanent))

    @route("POST", "/files/<id:file_id>/restore", Access.FILES_WRITE, repeatable=True)
    def restore_file(self, request: GatewayRequest, file_id: int) -> Response | Deferred:
        """Take a file out of the trash."""
        return self.protection.answer(request, self.documents.restore(request, file_id))

    @route(
        "POST",
        "/batch",
        Access.FILES_WRITE,
        body=Operations,
        body_bytes_max=BATCH_JSON_BYTES_MAX,
        repeatable=True,
    )
    def run_batch(self, request: GatewayRequest, operations: Operations) -> Response:
        """Rename, label, move, delete and restore many files."""
        return run_operations(request, self.documents, operations)

    @route(
        "PUT",
        "/refs/<system:system>/<key:key>/files/<name:name>",
        Access.FILES_WRITE,
        query=FileFields,
        repeatable=True,
    )
    def save_by_reference(
        self, request: GatewayRequest, query: FileFields, system: str, key: str, name: str
    ) -> Response | Deferred:
        """Save the document that another system calls so, the first time as a new file."""
        reference = checked_reference(system, key, name)
        upload = receive_content(request, self.blobs, self.documents.content_by_reference(request, reference), query)
        return self.protection.answer(request, self.documents.save_by_reference(request, reference, upload))

    @route("GET", "/refs/<system:system>/<key:key>/files", Access.FILES_READ, query=ReferenceListQuery)
    def list_by_reference(self, request: GatewayRequest, query: ReferenceListQuery, system: str, key: str) -> Any:
        """One page of the caller's files that carry another system's key."""
        return self.documents.with_label(request.identity, checked_label(system, key), query)

    @route("GET", "/files/<id:file_id>/versions", Access.FILES_READ, query=VersionListQuery)
    def list_versions(self, request: GatewayRequest, query: VersionListQuery, file_id: int) -> Any:
        """One page of what a file has been, also of one in the trash."""
        return self.versions.page(self.documents.find_any(request.identity, file_id), query)

    @route(
        "GET",
        "/files/<id:file_id>/versions/<n:number>/content",
        Access.FILES_READ,
        query=VersionContentQuery,
        takes_tickets=True,
    )
    def get_version_content(
        self, request: GatewayRequest, query: VersionContentQuery, file_id: int, number: int
    ) -> Response:
        """A version's bytes; HEAD gives their headers."""
        file = self.documents.find_any(request.identity, file_id)
        return content_response(request, self.versions.content(file, self.versions.find(file, number)))

    @route("GET", "/files/<id:file_id>/versions/<n:number>/proof", Access.FILES_READ, query=ProofQuery)
    def get_version_proof(self, request: GatewayRequest, query: ProofQuery, file_id: int, number: int) -> Any:
        """What an outsider needs to check a version without this server."""
        return self.versions.proof(self.documents.find_any(request.identity, file_id), number, query)

    @route("POST", "/files/<id:file_id>/versions/<n:number>/restore", Access.FILES_WRITE, repeatable=True)
    def restore_version(self, request: GatewayRequest, file_id: int, number: int) -> Response | Deferred:
        """Make a version the current one, as a new version."""
        file = self.documents.find_to_restore(request, file_id)
        version = self.versions.find(file, number)
        self.versions.put_back(self.blobs, self.versions.content(file, version))
        return self.protection.answer(request, self.documents.make_current(request, file, version))

    @route("PUT", "/files/<id:file_id>/hold", Access.ADMIN, body=HoldWanted)
    def hold_file(self, request: GatewayRequest, wanted: HoldWanted, file_id: int) -> Any:
        """Have no rule of retention give up any version of a file, and nobody remove it for good."""
        return self.holds.place(request, wanted.reason, file_id)

    @route("DELETE", "/files/<id:file_id>/hold", Access.ADMIN)
    def release_file(self, request: GatewayRequest, file_id: int) -> Response:
        """End the hold of a file; it stays on record."""
        self.holds.release(request, file_id)
        return no_content()

    @route("PUT", "/files/<id:file_id>/versions/<n:number>/hold", Access.ADMIN, body=HoldWanted)
    def hold_version(self, request: GatewayRequest, wanted: HoldWanted, file_id: int, number: int) -> Any:
        """Have no rule of retention give up one version, and nobody remove its file for good."""
        return self.holds.place(request, wanted.reason, file_id, number)

    @route("DELETE", "/files/<id:file_id>/versions/<n:number>/hold", Access.ADMIN)
    def release_version(self, request: GatewayRequest, file_id: int, number: int) -> Response:
        """End the hold of a version; it stays on record."""
        self.holds.release(request, file_id, number)
        return no_content()

    @route("GET", "/holds", Access.ADMIN, query=HoldListQuery)
    def list_holds(self, request: GatewayRequest, query: HoldListQuery) -> Any:
        """What is held, by file."""
        page = self.backup("holds", after=query.after or 0, released=query.released)
        return {"items": page["items"], "next": None if page["next"] is None else str(page["next"])}

    @route("POST", "/restore", Access.FILES_WRITE, body=RestoreOrder)
    def restore_all(self, request: GatewayRequest, order: RestoreOrder) -> Any:
        """Make files what they were at a moment, as new versions."""
        return self.restoring.run(request, order, self.blobs, self.versions)

    @route("POST", "/uploads", Access.FILES_WRITE)
    def create_upload(self, request: GatewayRequest) -> Response:
        """Announce a file that will come in parts (tus)."""
        return self.uploads.create(request, self.documents)

    @route("HEAD", "/uploads/<upload:upload_id>", Access.FILES_WRITE)
    def look_at_upload(self, request: GatewayRequest, upload_id: str) -> Response:
        """How much of an upload has arrived."""
        return self.uploads.look(request, self.documents, upload_id)

    @route("PATCH", "/uploads/<upload:upload_id>", Access.FILES_WRITE)
    def continue_upload(self, request: GatewayRequest, upload_id: str) -> Response:
        """The next part; the last one makes the file."""
        return self.uploads.receive(request, self.documents, upload_id)

    @route("DELETE", "/uploads/<upload:upload_id>", Access.FILES_WRITE)
    def terminate_upload(self, request: GatewayRequest, upload_id: str) -> Response:
        """Give an upload up."""
        return self.uploads.terminate(request, upload_id)

    @route("GET", "/changes", Access.EVENTS_READ, query=ChangesQuery)
    def list_changes(self, request: GatewayRequest, query: ChangesQuery) -> Any:
        """The caller's changes in the order in which they happened; ``wait`` waits for one."""
        return self.changes.page(request, query)

    @route("POST", "/webhooks", Access.EVENTS_READ, body=NewWebhook)
    def create_webhook(self, request: GatewayRequest, new: NewWebhook) -> Response:
        """Have changes sent to another system; the secret is shown this once."""
        return self.webhooks.create(request, new)

    @route("GET", "/webhooks", Access.EVENTS_READ, query=WebhookListQuery)
    def list_webhooks(self, request: GatewayRequest, query: WebhookListQuery) -> Any:
        """One page of the caller's webhooks."""
        return self.webhooks.page(request, query)

    @route("GET", "/webhooks/<id:webhook_id>", Access.EVENTS_READ)
    def get_webhook(self, request: GatewayRequest, webhook_id: int) -> Any:
        """How a webhook is doing."""
        return self.webhooks.ask("get", request, webhook_id)

    @route("PATCH", "/webhooks/<id:webhook_id>", Access.EVENTS_READ, body=WebhookPatch)
    def update_webhook(self, request: GatewayRequest, patch: WebhookPatch, webhook_id: int) -> Any:
        """Change, pause or resume a webhook."""
        return self.webhooks.update(request, webhook_id, patch)

    @route("DELETE", "/webhooks/<id:webhook_id>", Access.EVENTS_READ)
    def delete_webhook(self, request: GatewayRequest, webhook_id: int) -> Response:
        """End a webhook."""
        self.webhooks.ask("delete", request, webhook_id)
        return no_content()

    @route("POST", "/webhooks/<id:webhook_id>/secret", Access.EVENTS_READ)
    def replace_webhook_secret(self, request: GatewayRequest, webhook_id: int) -> Any:
        """A new secret, shown this once; the old one also signs for a day."""
        return self.webhooks.ask("replace_secret", request, webhook_id)

    @route("GET", "/webhooks/<id:webhook_id>/deliveries", Access.EVENTS_READ, query=DeliveryListQuery)
    def list_deliveries(self, request: GatewayRequest, query: DeliveryListQuery, webhook_id: int) -> Any:
        """One page of what was sent to a webhook."""
        return self.webhooks.ask("deliveries", request, webhook_id, **query.model_dump())

    @route("POST", "/webhooks/<id:webhook_id>/test", Access.EVENTS_READ)
    def test_webhook(self, request: GatewayRequest, webhook_id: int) -> Response:
        """Have a test message sent."""
        return accepted(self.webhooks.ask("test", request, webhook_id))

    @route("POST", "/webhooks/<id:webhook_id>/redeliver", Access.EVENTS_READ, body=Redelivery)
    def redeliver(self, request: GatewayRequest, wanted: Redelivery, webhook_id: int) -> Response:
        """Have one event, or all after a cursor, sent again."""
        return self.webhooks.redeliver(request, webhook_id, wanted)

    @route("GET", "/backup", Access.ADMIN)
    def backup_status(self, request: GatewayRequest) -> Any:
        """How far the backup has come, and what it fails to copy."""
        return self.backup("status")

    @route("GET", "/health/live", Access.PUBLIC)
    def live(self, request: GatewayRequest) -> Any:
        """The process answers."""
        return {"status": "ok", "version": __version__}

    @route("GET", "/health/ready", Access.PUBLIC)
    def ready(self, request: GatewayRequest) -> Response:
        """Everything the API needs answers."""
        return self.readiness.report()

    @route("GET", "/metrics", Access.PUBLIC)
    def get_metrics(self, request: GatewayRequest) -> Response:
        """What the processes of this machine count and measure, for Prometheus."""
        return metrics_response(request, self.metrics)

    @route("GET", "/openapi.json", Access.PUBLIC)
    def get_openapi(self, request: GatewayRequest) -> Response:
        """This document."""
        return file_answer(request, self.api_document)

    @route("GET", "/docs", Access.PUBLIC)
    def get_docs(self, request: GatewayRequest) -> Response:
        """This document as a page to read and to try the API with."""
        return self.static.answer(request, "docs/index.html")

    @route("GET", "/static/<path:path>", Access.PUBLIC)
    def get_static_file(self, request: GatewayRequest, path: str) -> Response:
        """A file that the gateway's own pages load."""
        return self.static.answer(request, path)

    @route("GET", "/console", Access.PUBLIC)
    def get_console(self, request: GatewayRequest) -> Response:
        """The web console."""
        return console_page(request, self.static)

    @route("GET", "/console/settings", Access.PUBLIC)
    def get_console_settings(self, request: GatewayRequest) -> Any:
        """What the web console must know of this installation."""
        return console_settings(self.settings)
