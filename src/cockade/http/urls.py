"""Where the API stands."""

from __future__ import annotations

BASE_PATH = "/api_gateway/v1/badges"
SHORT_PATH = "/v1/badges"
"""The same paths for callers behind a gateway of their own."""


def full_path(path: str) -> str:
    """The path with the base path in the place of the short one; the app knows only that."""
    is_short = path.startswith(SHORT_PATH) and path[len(SHORT_PATH) :][:1] in ("", "/")
    return BASE_PATH + path[len(SHORT_PATH) :] if is_short else path
