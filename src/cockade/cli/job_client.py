"""A client for jobs and their undo. It retries requests while the service restarts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
from msgspec import Struct

from cockade.errors import SetupError
from cockade.http.urls import BASE_PATH
from cockade.job.model import PARQUET

JOBS = "/customer/earnBulk/jobs"
UNDO = "/requests/revoke"
READ_BYTES = 64 * 1024
PATIENCE_S = 600.0
"""Time for which requests are retried. If the service is unreachable on the first request, it is not retried.
"""
AGAIN_S = 1.0
TIMEOUT = httpx.Timeout(30, read=600)
"""The response to a large audience arrives only after all of it is staged."""
NOT_NOW = {429, 502, 503, 504}
TYPES = {".ndjson": "application/x-ndjson", ".jsonl": "application/x-ndjson", ".parquet": PARQUET}
USED = 809
"""Error code: the request id is already used."""

Answer = dict[str, Any]


class ApiError(Exception):
    """The service rejected the request."""

    def __init__(self, errors: list[Answer]) -> None:
        self.codes = [error["code"] for error in errors]
        self.text = "; ".join(f"{error['message']} ({error['code']})" for error in errors)
        super().__init__(self.text)


class JobRequest(Struct, frozen=True, kw_only=True):
    """A job to find or start."""

    audience: Path
    parameters: Mapping[str, str]
    """Query parameters, including the request id."""
    is_dry_run: bool

    @property
    def headers(self) -> dict[str, str]:
        """Return Content-Type and Content-Encoding, derived from the file name."""
        kinds = [suffix.lower() for suffix in self.audience.suffixes]
        written = next((TYPES[kind] for kind in kinds if kind in TYPES), "text/csv")
        return {"Content-Type": written} | ({"Content-Encoding": "gzip"} if kinds[-1:] == [".gz"] else {})


class JobClient:
    """The job endpoints. Methods raise Rejected if the service rejects a request, SetupError if it is
    unreachable.
    """

    def __init__(self, url: str, username: str, secret: str, on_wait: Callable[[str], None]) -> None:
        self._http = httpx.Client(
            base_url=url.rstrip("/") + BASE_PATH, auth=(username, secret), timeout=TIMEOUT
        )
        self._on_wait = on_wait
        self._has_answered = False

    def __enter__(self) -> JobClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def find(self, wish: JobRequest) -> Answer | None:
        """Return the newest job of this request id that is fully staged."""
        sent = {"requestId": wish.parameters["requestId"], "size": "100"}
        page = self._patiently(lambda: self._http.get(JOBS, params=sent))
        for job in page["jobs"]:
            if job["dryRun"] == wish.is_dry_run and job["state"] != "staging":
                return job
        return None

    def start(self, wish: JobRequest, on_sent: Callable[[int], None]) -> Answer:
        """Upload the audience and return the job. If the response to an earlier upload was lost, return the
        job that it started.

        `on_sent` receives the number of bytes sent so far, which starts at 0 again after a retry.
        """

        def send() -> httpx.Response:
            return self._http.post(
                JOBS, params=wish.parameters, headers=wish.headers, content=_pieces(wish.audience, on_sent)
            )

        try:
            return self._patiently(send)
        except ApiError as error:
            # A dry run does not use up the request id, so the id belongs to the real job.
            job = self.find(wish) if USED in error.codes and not wish.is_dry_run else None
            if job is None:
                raise
            return job

    def get(self, job_id: str) -> Answer:
        """Return the current state of the job."""
        return self._patiently(lambda: self._http.get(f"{JOBS}/{job_id}"))

    def resume(self, job_id: str) -> Answer:
        """Resume the job."""
        return self._patiently(lambda: self._http.put(f"{JOBS}/{job_id}/resume"))

    def undo(self, request_id: str, *, is_dry_run: bool) -> Answer:
        """Start or follow the undo of a request. Return its result, or its progress (which has a `state`)
        while it runs.
        """
        params = {"dryRun": "true"} if is_dry_run else {}
        return self._patiently(lambda: self._http.post(UNDO, params=params, json={"requestId": request_id}))

    def save_refused(self, job_id: str, place: Path) -> None:
        """Download the refused lines. An existing file is replaced only after the download is complete."""
        partial = place.with_name(place.name + ".partial")

        def load() -> httpx.Response:
            with self._http.stream("GET", f"{JOBS}/{job_id}/refused") as response:
                if response.is_success:
                    with partial.open("wb") as file:
                        for piece in response.iter_bytes():
                            file.write(piece)
                    return httpx.Response(200, json={"data": {}})
                response.read()
                return response

        self._patiently(load)
        partial.replace(place)

    def _patiently(self, ask: Callable[[], httpx.Response]) -> Answer:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                response = ask()
            except httpx.TransportError as error:
                cause = str(error) or type(error).__name__
                if not self._has_answered or time.monotonic() > deadline:
                    raise SetupError(f"Cannot reach {self._http.base_url.host}: {cause}.") from error
            else:
                self._has_answered = True
                if response.is_success:
                    return response.json()["data"]
                cause = f"status {response.status_code}"
                if response.status_code not in NOT_NOW or time.monotonic() > deadline:
                    raise ApiError(_errors(response))
            self._on_wait(cause)
            time.sleep(AGAIN_S)


def _errors(response: httpx.Response) -> list[Answer]:
    try:
        return response.json()["errors"]
    except (ValueError, KeyError, TypeError):
        return [{"code": response.status_code, "message": response.reason_phrase}]


def _pieces(audience: Path, on_sent: Callable[[int], None]) -> Iterator[bytes]:
    sent = 0
    on_sent(sent)
    with audience.open("rb") as file:
        while piece := file.read(READ_BYTES):
            yield piece
            sent += len(piece)
            on_sent(sent)
