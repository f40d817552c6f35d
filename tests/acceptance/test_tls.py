"""https with a certificate of one's own."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.acceptance.service import Service, earn_bulk, make_badge, running


def test_service_speaks_https_with_a_given_certificate(home: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the openssl command is needed to make a certificate")
    certificate, key = home / "cert.pem", home / "key.pem"
    made = subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    service = Service(home, options=["--tls-cert", str(certificate), "--tls-key", str(key)])
    service.verify = ssl.create_default_context(cafile=str(certificate))
    with running(service):
        shown = service.first_credential()
        assert "curl -k" in service.printed()
        assert f"https://127.0.0.1:{service.port}" in service.printed()
        with service.client(shown["username"], shown["secret"]) as client:
            answer = earn_bulk(client, make_badge(client), [1, 2])
            assert answer.status_code == 200
            assert answer.headers["Strict-Transport-Security"]
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{service.port}/healthz")
        with pytest.raises(httpx.ConnectError, match="certificate"):
            httpx.get(f"{service.origin}/healthz")
