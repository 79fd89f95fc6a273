"""The examples of docs/deploy: a proxy with TLS before the HTTP API, as they stand there but for names and ports."""

from __future__ import annotations

import datetime
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.files import ROOT
from tests.support.listening import Listening, listening
from tests.support.patience import PATIENCE_S
from tests.support.workbench import NAME, points

DEPLOY = ROOT / "docs" / "deploy"
RECORDS = f"/v1/connections/{NAME}/records"


def certificate(folder: Path) -> tuple[Path, Path]:
    """(certificate, key) for localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "fullchain.pem", folder / "privkey.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()))
    return files


def nginx(folder: Path, port: int, api: str) -> list[str]:
    """The command that runs the example."""
    text = (DEPLOY / "nginx.conf").read_text()
    for before, after in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("server_name askel.example.com", "server_name localhost"),
        ("/etc/letsencrypt/live/askel.example.com", str(folder)),
        ("http://127.0.0.1:8765", api),
    ):
        assert before in text
        text = text.replace(before, after)
    temporary = " ".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    owner = "user root root;" if os.geteuid() == 0 else ""
    (folder / "whole.conf").write_text(
        f"{owner} pid {folder}/pid; daemon off; error_log stderr;\nevents {{}}\n"
        f"http {{ access_log off; {temporary}\n{text}\n}}\n"
    )
    return ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(folder / "whole.conf")]


def caddy(folder: Path, port: int, api: str) -> list[str]:
    """The command that runs the example."""
    text = (DEPLOY / "Caddyfile").read_text()
    for before, after in (
        (
            "askel.example.com {",
            f"https://localhost:{port} {{\n\ttls {folder}/fullchain.pem {folder}/privkey.pem",
        ),
        ("127.0.0.1:8765", urlsplit(api).netloc),
    ):
        assert before in text
        text = text.replace(before, after)
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{text}")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


@contextmanager
def proxied(
    how: Callable[[Path, int, str], list[str]], folder: Path, front: Listening
) -> Iterator[httpx.Client]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    files = certificate(folder)
    command = how(folder, port, front.url)
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    said = folder / "said"
    with said.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder)
    trusted = ssl.create_default_context(cafile=str(files[0]))
    headers = {"Authorization": f"Bearer {front.token}"}
    try:
        with httpx.Client(
            base_url=f"https://localhost:{port}", verify=trusted, headers=headers, timeout=30
        ) as http:
            _wait(http, process, said)
            yield http
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _wait(http: httpx.Client, process: subprocess.Popen[bytes], said: Path) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            # The proxy knows by then that the HTTP API is ready.
            if http.get("/openapi.json").status_code == 200:
                return
        except httpx.TransportError:
            pass
        if process.poll() is not None or time.monotonic() > until:
            raise AssertionError(said.read_text())


@pytest.mark.parametrize("how", [nginx, caddy])
def test_the_api_behind_a_proxy(how: Callable[[Path, int, str], list[str]], tmp_path: Path) -> None:
    (tmp_path / "proxy").mkdir()
    if shutil.which(how.__name__) is None:
        pytest.skip(f"{how.__name__} is not here")
    with listening(tmp_path / "home") as front, proxied(how, tmp_path / "proxy", front) as http:
        taken = http.post(RECORDS, json=points(1))
        assert (taken.status_code, taken.json()["accepted"]) == (202, 1)
        for inside in ("/healthz", "/readyz", "/metrics"):
            assert http.get(inside).status_code == 404
        assert http.post(RECORDS, content=b" " * 6_000_000).status_code == 413
        assert http.post(RECORDS, json=points(2), headers={"Authorization": "Bearer x"}).status_code == 401
        with http.stream("GET", f"/v1/connections/{NAME}/audit/stream") as tail:
            lines = tail.iter_lines()
            assert next(lines) == ": askel audit"
            put = http.put(f"/v1/connections/{NAME}/webhooks/shop", json={"secret": "s" * 20, "event": "x"})
            assert put.status_code == 200
            assert any("webhook_set" in line for line in lines)
