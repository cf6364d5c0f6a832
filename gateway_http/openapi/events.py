"""What changed: the feed, and webhooks."""

from docsave_services import contracts
from docsave_services.errors import (
    CursorExpired,
    Forbidden,
    NotFound,
    TooManyDeliveries,
    TooManyRequests,
    TooManyWebhooks,
)
from gateway_http.openapi import answers
from gateway_http.openapi.vocabulary import Answer, Subject, Told

CHANGES = Subject(
    "Changes",
    "What happened, in order. Live: [Socket.IO](/asyncapi.json on the port of Socket.IO), or wait here.",
    {
        "list_changes": Told(
            (Answer(200, "Events, and the cursor to go on from.", contracts.ChangesPage),),
            also=(CursorExpired, TooManyRequests),
            more="Without `since` from the first change; `now` gives the newest cursor. `wait` waits for so many"
            " seconds for one.",
        ),
    },
)

WEBHOOKS = Subject(
    "Webhooks",
    "Changes, sent to another system as signed POST requests.",
    {
        "create_webhook": Told(
            (Answer(201, "The endpoint and its secret.", answers.WebhookWithSecret, ("Location",)),),
            also=(Forbidden, CursorExpired, TooManyWebhooks),
            more="`url` must not be a private or local address, unless the operator allows that.",
        ),
        "list_webhooks": Told((Answer(200, "One page.", contracts.WebhookPage),), also=(Forbidden,)),
        "get_webhook": Told((Answer(200, "The endpoint.", contracts.Webhook),), also=(NotFound,)),
        "update_webhook": Told(
            (Answer(200, "The endpoint as it is now.", contracts.Webhook),), also=(Forbidden, NotFound)
        ),
        "delete_webhook": Told((Answer(204, "It is over."),), also=(NotFound,)),
        "replace_webhook_secret": Told((Answer(200, "The new secret.", contracts.NewSecret),), also=(NotFound,)),
        "list_deliveries": Told((Answer(200, "One page.", contracts.DeliveryPage),), also=(NotFound,)),
        "test_webhook": Told(
            (Answer(202, "It will be sent.", contracts.Delivery),), also=(NotFound, TooManyDeliveries)
        ),
        "redeliver": Told(
            (
                Answer(
                    202,
                    "It will be sent: the delivery of one event, or the endpoint that goes on from the cursor.",
                    contracts.Delivery | contracts.Webhook,
                ),
            ),
            also=(NotFound, CursorExpired, TooManyDeliveries),
        ),
    },
)
