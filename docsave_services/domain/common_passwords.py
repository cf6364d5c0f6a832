"""The passwords that everybody tries first: an offline list, from the data of zxcvbn.

The list holds the 30,000 most frequent passwords of large leaks, in lower case. Of these the ones that are long enough
to be chosen here matter (NIST SP 800-63B, section 3.1.1.2; ASVS 6.2.4 asks for the top 3,000).
"""

from __future__ import annotations

import unicodedata
from functools import cache

from zxcvbn.frequency_lists import FREQUENCY_LISTS


def is_common(password: str) -> bool:
    """Whether ``password``, whatever its case or Unicode form, is one of the list."""
    return unicodedata.normalize("NFKC", password).casefold() in _common()


@cache
def _common() -> frozenset[str]:
    return frozenset(word.casefold() for word in FREQUENCY_LISTS["passwords"])
