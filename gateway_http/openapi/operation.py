"""Health, and the gateway's own pages."""

from docsave_services.errors import NotFound, Unauthenticated
from gateway_http.openapi import answers
from gateway_http.openapi.vocabulary import Answer, Subject, Told

_PAGE = ("ETag", "Content-Security-Policy")

OPERATION = Subject(
    "Operation",
    "Whether docsave works, and what it says of itself.",
    {
        "live": Told((Answer(200, "It does.", answers.Live),), asks_services=False),
        "ready": Told(
            (Answer(200, "Every part answers.", answers.Ready), Answer(503, "Some part does not.", answers.Ready)),
            asks_services=False,
        ),
        "get_metrics": Told(
            (Answer(200, "The metrics, in Prometheus' text format.", ("text/plain",)),),
            also=(NotFound, Unauthenticated),
            asks_services=False,
        ),
        "get_openapi": Told(
            (
                Answer(200, "The document.", dict, ("ETag",)),
                Answer(304, "The client has it already.", None, ("ETag",)),
            ),
            headers=("If-None-Match",),
            asks_services=False,
        ),
        "get_docs": Told(
            (
                Answer(200, "The page.", ("text/html",), _PAGE),
                Answer(304, "The client has it already.", None, ("ETag",)),
            ),
            headers=("If-None-Match",),
            asks_services=False,
        ),
        "backup_status": Told((Answer(200, "The status.", answers.BackupStatus),)),
        "get_console": Told(
            (
                Answer(200, "The page.", ("text/html",), _PAGE),
                Answer(304, "The client has it already.", None, ("ETag",)),
            ),
            headers=("If-None-Match",),
            asks_services=False,
        ),
        "get_console_settings": Told((Answer(200, "The settings.", answers.ConsoleSettings),), asks_services=False),
        "get_static_file": Told(
            (
                Answer(200, "The file.", ("*/*",), _PAGE),
                Answer(304, "The client has it already.", None, ("ETag",)),
            ),
            also=(NotFound,),
            headers=("If-None-Match",),
            asks_services=False,
        ),
    },
)
