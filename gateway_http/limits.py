"""How much one client may ask of the gateway. Bytes and seconds unless said otherwise."""

from __future__ import annotations

MAX_CONNECTIONS = 3000
"""Connections at once: ``WAITERS_MAX`` that wait for changes and 1,000 for everything else. Past it an idle one is
closed, else 503. A process that may not open enough files has fewer."""

DESCRIPTORS_WANTED = 3 * MAX_CONNECTIONS
"""A transfer needs a file beside its connection; the rest is for the broker and the blob store."""

DESCRIPTORS_RESERVED = 224
"""Where the system allows a process fewer: so many of them are not for connections."""

WAITERS_MAX = 2000
"""Requests that wait for a change (``GET /changes`` with ``wait``); more are told to come back."""

WAITERS_OF_USER_MAX = 1000
"""Of these, the most of one account."""

WAIT_SECONDS_MAX = 30

PROTECTION_WAITERS_MAX = 500
PROTECTION_WAITERS_OF_USER_MAX = 100
"""Changes that wait until they are safe (``Prefer: wait``); more are answered at once."""

RECENT_EVENTS = 2000
"""Changes remembered for those who wait; who needs older ones reads the journal."""

FEED_DEADLINE_SECONDS = 2.5
"""Calls about the feed: shorter than others, so that a stop is never held up longer."""

SOCKET_TIMEOUT_SECONDS = 30.0
"""A client that neither sends nor takes a byte for this long is cut."""

KEEPALIVE_SECONDS = 60.0
"""An idle connection is kept this long for the next request."""

HEADER_SECONDS = 15.0
"""From the first byte of a request to the end of its headers; a client that dribbles them is answered 408."""

IDEMPOTENCY_KEY_CHARACTERS_MAX = 255

UNASKED_BYTES_MAX = 1024 * 1024
"""An upload up to this size goes to the transaction without a question about its owner's quota."""

REFUSED_USERS_MAX = 1000
REFUSED_SECONDS = 600.0
"""Whose content did not fit is asked about before each upload for so long."""

SNIFFED_BYTES = 8 * 1024
"""What is looked at to tell a file's media type."""

URL_BYTES_MAX = 8 * 1024
HEADER_BYTES_MAX = 64 * 1024
JSON_BYTES_MAX = 64 * 1024

BATCH_JSON_BYTES_MAX = 1024 * 1024
OPERATIONS_MAX = 1000
"""Of ``POST /batch``. As many changes as the files service takes in one transaction."""

RESTORE_FILES_MAX = 10_000
"""Files that one ``POST /restore`` looks at; the answer says how to go on."""

RESTORE_SECONDS = 20.0
"""And so long it goes on taking more of them."""

RESTORE_PAGE = 500
"""Files compared in one call for a plan; the answer is JSON of two files each."""

RESTORE_STEP = 50
"""Files restored together, in one transaction. Their content may have to be copied first: after each step the time is
looked at."""

QUERY_FIELDS_MAX = 100
"""As many as ``GET /changes`` has fields and terms of its filter, and some."""

IF_MATCH_TAGS_MAX = 100
"""As many as the files service takes with a change."""

READ_BYTES = 256 * 1024
"""A body is taken from the socket in pieces of at most this size."""

CHUNK_LINE_BYTES_MAX = 1024
"""A chunk's size with its extensions, or one trailer."""

TRAILERS_MAX = 32

MULTIPART_PARTS_MAX = 1000
MULTIPART_HEADER_BYTES_MAX = 16 * 1024
MULTIPART_TEXT_BYTES_MAX = 64 * 1024
"""One part other than ``file``; such parts are ignored, so nobody needs a large one."""

MULTIPART_OVERHEAD_BYTES = 2 * 1024 * 1024
"""What a multipart body may have beside the file: delimiters, part headers, other parts."""

LINGER_SECONDS = 2.0
LINGER_BYTES = 64 * 1024 * 1024
"""After an early answer the rest of the body is thrown away for this long, or the client's kernel would discard the
answer when it hears of the closed connection (RFC 9112, section 9.6)."""

SHUTDOWN_GRACE_SECONDS = 3.0
"""Requests in progress may finish for this long after SIGTERM; then their connections are cut."""

CUT_SECONDS = 0.3
"""How long requests whose connection was cut may take to clean up behind them."""

UNFINISHED_UPLOADS_MAX = 1000
"""Resumable uploads that one user may have under way."""

UPLOAD_LOCK_SECONDS = 5.0
"""How long a request waits for an upload that another one holds; then 423."""

RUNNING_HASHES_MAX = 10_000
"""Resumable uploads whose hash so far a process remembers; some 500 bytes each."""

STORE_THREADS = 64
"""Calls into the blob store at once: writes that wait for a slow disk must not use up all and keep reads waiting."""

UNPACKING_WAITING_MAX = 8
"""Requests for earlier versions that lie as patches which may wait for their turn: one at a time is unpacked."""

UNPACKING_WAIT_SECONDS = 10.0

ACCEPT_BACKLOG = 1024
"""Connections the kernel holds for us while we are busy."""

TICKET_SECONDS = 60
"""A download begins so long after its ticket was given; it may take as long as it likes."""

TICKET_CHARACTERS_MAX = 1024
DOWNLOAD_PATH_CHARACTERS_MAX = 4096
"""Together with a ticket it fits in ``URL_BYTES_MAX``."""

ARCHIVE_IDS_MAX = 1000
ARCHIVE_FILES_MAX = 10_000
"""Files in one archive: named by their ids, or found below a folder."""

ARCHIVE_PAGE = 1000
"""Files of a folder that one call looks up."""

ARCHIVE_PIECE_BYTES = 256 * 1024
"""What is small in an archive leaves in pieces of at least this size."""

BATCH_MAX = 64
"""Changes or look-ups in one call to the files service."""

LISTS_BATCH_MAX = 16
LISTED_TOGETHER_MAX = 100
"""Lists in one call, and the longest page that travels in one: nobody waits for many others' long pages."""

LISTS_ABREAST = 3
"""So many calls for lists are under way before others wait to go together: 16 at once got a tenth more than by one."""

QUEUE_MAX = 1000
"""Changes or look-ups that may wait for a call; past it 503."""

FLIGHTS_MAX = 4
PATIENCE_SECONDS = 0.25
"""A call that takes longer than this no longer holds up the next one, up to ``FLIGHTS_MAX`` at once."""

RETRY_AFTER_SECONDS = 2
"""What a 503 and a 423 suggest."""

READY_SECONDS = 0.8
"""``/health/ready`` answers after so long, whoever has not said anything by then."""

READY_DEADLINE_SECONDS = 3.0
"""A question that nobody waits for any more ends after so long; until then no second one is asked."""

READY_FREE_BYTES_MIN = 32 * 1024 * 1024
"""A blob store with less room is shown as full."""
