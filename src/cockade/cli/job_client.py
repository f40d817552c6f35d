"""A client of jobs, and of undoing them, that outlasts a service which is being restarted: every question is asked again until it is answered."""

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
"""How long a service that has answered before may be away."""
AGAIN_S = 1.0
TIMEOUT = httpx.Timeout(30, read=600)
"""A large audience is answered only when all of it is staged."""
NOT_NOW = {429, 502, 503, 504}
TYPES = {".ndjson": "application/x-ndjson", ".jsonl": "application/x-ndjson", ".parquet": PARQUET}
USED = 809
"""The code of a request id that was used before."""

Answer = dict[str, Any]


class ApiError(Exception):
    """The service refuses what was asked."""

    def __init__(self, errors: list[Answer]) -> None:
        self.codes = [error["code"] for error in errors]
        self.text = "; ".join(f"{error['message']} ({error['code']})" for error in errors)
        super().__init__(self.text)


class JobRequest(Struct, frozen=True, kw_only=True):
    """The job that is wanted."""

    audience: Path
    parameters: Mapping[str, str]
    """Of the call; the request id among them."""
    is_dry_run: bool

    @property
    def headers(self) -> dict[str, str]:
        """What the audience is written in, by its name."""
        kinds = [suffix.lower() for suffix in self.audience.suffixes]
        written = next((TYPES[kind] for kind in kinds if kind in TYPES), "text/csv")
        return {"Content-Type": written} | ({"Content-Encoding": "gzip"} if kinds[-1:] == [".gz"] else {})


class JobClient:
    """One caller's jobs. Raises Rejected where the service refuses, SetupError where it cannot be reached."""

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
        """The newest job of this request id, whose audience is there."""
        sent = {"requestId": wish.parameters["requestId"], "size": "100"}
        page = self._patiently(lambda: self._http.get(JOBS, params=sent))
        for job in page["jobs"]:
            if job["dryRun"] == wish.is_dry_run and job["state"] != "staging":
                return job
        return None

    def start(self, wish: JobRequest, on_sent: Callable[[int], None]) -> Answer:
        """The job, once its audience is staged; if an answer was lost, the one that began then.

        `on_sent` is told how many bytes are sent, from 0 again where it had to begin anew.
        """

        def send() -> httpx.Response:
            return self._http.post(
                JOBS, params=wish.parameters, headers=wish.headers, content=_pieces(wish.audience, on_sent)
            )

        try:
            return self._patiently(send)
        except ApiError as error:
            # A dry run takes no id: it is used by the job itself.
            job = self.find(wish) if USED in error.codes and not wish.is_dry_run else None
            if job is None:
                raise
            return job

    def get(self, job_id: str) -> Answer:
        """The job as of now."""
        return self._patiently(lambda: self._http.get(f"{JOBS}/{job_id}"))

    def resume(self, job_id: str) -> Answer:
        """Have it go on."""
        return self._patiently(lambda: self._http.put(f"{JOBS}/{job_id}/resume"))

    def undo(self, request_id: str, *, is_dry_run: bool) -> Answer:
        """What undoing the request came to; while it is not done, how far it is, which has a `state`."""
        params = {"dryRun": "true"} if is_dry_run else {}
        return self._patiently(lambda: self._http.post(UNDO, params=params, json={"requestId": request_id}))

    def save_refused(self, job_id: str, place: Path) -> None:
        """Write the file of refused lines; what is there is replaced at the end, by all of it."""
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
                    raise SetupError(f"{self._http.base_url.host} does not answer: {cause}.") from error
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
