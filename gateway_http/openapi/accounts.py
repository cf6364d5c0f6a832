"""Accounts, sessions, API keys and the audit trail."""

from docsave_services import contracts
from docsave_services.errors import (
    BadCredentials,
    LastAdministrator,
    LoginTaken,
    NotFound,
    TooManyKeys,
    TooManyRequests,
    Unauthenticated,
    WrongPassword,
)
from gateway_http.openapi import answers
from gateway_http.openapi.vocabulary import Answer, Subject, Told

_PASSWORDS = (WrongPassword, LoginTaken, TooManyRequests)

ACCOUNTS = Subject(
    "Accounts",
    "People and programs: accounts, sessions, API keys, and who did what.",
    {
        "create_user": Told(
            (Answer(201, "The new account.", contracts.User, ("Location",)),),
            also=(LoginTaken,),
            more="Open to all, unless `DOCSAVE_REGISTRATION` is `admin`: then administrators only. A password that"
            " everybody tries first, or that is the login, is 422.",
        ),
        "log_in": Told(
            (Answer(200, "Tokens.", contracts.TokenPair),),
            also=(BadCredentials, TooManyRequests),
            more="The answer to a wrong password and to an unknown login is the same. Send the access token as"
            " `Authorization: Bearer …`; it is good for `expires_in` seconds.",
        ),
        "refresh": Told(
            (Answer(200, "Tokens.", contracts.TokenPair),),
            also=(Unauthenticated,),
            more="A refresh token that is presented again after its successor was used ends its whole session.",
        ),
        "log_out": Told((Answer(204, "The session is over."),), also=(Unauthenticated,)),
        "list_sessions": Told((Answer(200, "The sessions.", answers.OwnSessions),)),
        "end_session": Told((Answer(204, "That session is over."),), also=(NotFound,)),
        "end_other_sessions": Told((Answer(204, "All sessions but this one are over."),)),
        "get_me": Told((Answer(200, "The account.", contracts.User),)),
        "update_me": Told(
            (Answer(200, "The account as it is now.", contracts.User),),
            also=_PASSWORDS,
            more="A new password ends all sessions.",
        ),
        "list_users": Told((Answer(200, "One page.", contracts.UserPage),)),
        "get_user": Told((Answer(200, "The account.", contracts.UserDetails),), also=(NotFound,)),
        "update_user": Told(
            (Answer(200, "The account as it is now.", contracts.UserDetails),), also=(NotFound, LastAdministrator)
        ),
        "create_key": Told(
            (Answer(201, "The new key, with the key itself.", answers.ApiKeyWithKey, ("Location",)),),
            also=(TooManyKeys,),
        ),
        "list_keys": Told((Answer(200, "The keys.", answers.ApiKeys),)),
        "revoke_key": Told((Answer(204, "The key is over."),), also=(NotFound,)),
        "audit": Told((Answer(200, "One page.", contracts.AuditPage),)),
    },
)
