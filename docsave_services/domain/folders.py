"""Where a file is filed: a logical path such as ``clients/acme/2026``. It never becomes a path on a disk."""

from __future__ import annotations

from docsave_services.domain.names import name_problem

FOLDER_CHARACTERS_MAX = 512
FOLDER_SEGMENTS_MAX = 32

ROOT = ""


def folder_problem(folder: str) -> str | None:
    """Why nothing can be filed there, as the end of a sentence that starts with the field; None for a good folder.

    The empty text is the root. Each segment follows the rules of file names.
    """
    if folder == ROOT:
        return None
    if len(folder) > FOLDER_CHARACTERS_MAX:
        return f"must have at most {FOLDER_CHARACTERS_MAX} characters"
    segments = folder.split("/")
    if len(segments) > FOLDER_SEGMENTS_MAX:
        return f"must have at most {FOLDER_SEGMENTS_MAX} levels"
    if "" in segments:
        return "must be names with one / between them, such as clients/acme"
    return next((f"has a part that {problem}" for problem in map(name_problem, segments) if problem), None)
