"""Base paths of the API."""

from __future__ import annotations

BASE_PATH = "/api_gateway/v1/badges"
SHORT_PATH = "/v1/badges"
"""Alternative base path, for callers behind a gateway."""


def full_path(path: str) -> str:
    """Return the path with the short base path replaced by BASE_PATH, the only one that the app's routes
    have.
    """
    is_short = path.startswith(SHORT_PATH) and path[len(SHORT_PATH) :][:1] in ("", "/")
    return BASE_PATH + path[len(SHORT_PATH) :] if is_short else path
