"""The first administrator."""

from __future__ import annotations

from sqlalchemy import func, select

from docsave_services.db.engine import make_engine
from docsave_services.db.models import UserRow
from docsave_services.db.transactions import Transactions
from docsave_services.errors import LoginTaken
from docsave_services.settings import Settings
from docsave_services.users.handlers import create_user


def ensure_first_admin(settings: Settings) -> bool:
    """Create the administrator of the settings when there is no account at all; True when it did.

    Raises ``InvalidInput`` when the configured login or password cannot be used.
    """
    engine = make_engine(settings.db_uri)
    try:
        transactions = Transactions(engine)
        if transactions.read(lambda s: s.scalar(select(func.count()).select_from(UserRow))):
            return False
        settings.require("admin_login", "admin_password")
        create_user(transactions, settings.admin_login, settings.admin_password, None, "admin")
    except LoginTaken:
        return False  # another process was faster
    else:
        return True
    finally:
        engine.dispose()
