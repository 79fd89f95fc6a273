"""The server of the HTTP API: listens on an address, serves until it is stopped, then drains."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn

from askel_tui.api.server.app import ApiApplication
from askel_tui.api.server.listen_address import ListenAddress, remove_listen_address
from askel_tui.api.server.protocol import http_protocol, raise_file_limit
from askel_tui.api.shared.context import ApiContext
from askel_tui.api.shared.limits import ApiLimits
from askel_tui.core.exit_codes import AskelError, ExitCode
from askel_tui.sync.instance import Instance

log = logging.getLogger(__name__)

DRAIN_TIMEOUT_S = 10
"""Time that requests in flight may take to end when the server stops, in seconds."""

PUBLIC_ADDRESS_MESSAGE = (
    "{host} can be reached from other machines, and the HTTP API itself is not encrypted: tokens and records would "
    "cross the network readable. Put a proxy with TLS before it and listen on 127.0.0.1 (docs/running.md shows "
    "Caddy and nginx); or, where the network is private to you, add --public"
)


class ListenRefused(AskelError):
    """An address that can't or should not be listened on; the message says why and what to do."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True, slots=True)
class BindAddress:
    """An address to listen on."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """True if only this machine can reach the address."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_bind_address(text: str, *, public: bool = False) -> BindAddress:
    """Parses HOST:PORT, [IPv6]:PORT, :PORT or PORT into an address. Raises `ListenRefused`."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ListenRefused(f"{text!r} is no address to listen on: write HOST:PORT, 127.0.0.1:8765 say")
    found = BindAddress(host, int(port))
    if not found.is_loopback and not public:
        raise ListenRefused(PUBLIC_ADDRESS_MESSAGE.format(host=host))
    return found


class _Server(uvicorn.Server):
    """uvicorn's server, which leaves signals to the daemon."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class ApiServer:
    """The HTTP API of an instance: `run` serves until `stop`, then lets requests in flight end."""

    def __init__(self, instance: Instance, address: BindAddress, limits: ApiLimits | None = None) -> None:
        limits = limits or ApiLimits()
        self.context = ApiContext(instance, limits)
        self._bind_address = address
        self._socket = _listen(address)
        shown = f"[{address.host}]" if ":" in address.host else address.host
        self.url = f"http://{shown}:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            ApiApplication(self.context),
            http=http_protocol(limits),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            # A caller is known by its token; addresses in headers decide nothing.
            proxy_headers=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=DRAIN_TIMEOUT_S,
        )
        self._server = _Server(config)

    async def run(self) -> None:
        """Serves until `stop`."""
        await self.context.backpressure.check()
        self.context.refresh()
        raise_file_limit(self.context.limits.max_open_files)
        watch = asyncio.create_task(self.context.backpressure.check_periodically())
        home = self.context.instance.home
        ListenAddress(self.url, not self._bind_address.is_loopback, os.getpid()).save(home)
        log.info("listens on %s", self.url)
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            remove_listen_address(home)
            watch.cancel()
            self._socket.close()
            await self.context.close()

    def stop(self) -> None:
        """Starts to end `run`: new connections are refused, requests in flight are answered, streams end."""
        self.context.stopping.set()
        self._server.should_exit = True

    def reload(self) -> None:
        """Reads tokens and settings anew."""
        self.context.reload()


def _listen(address: BindAddress) -> socket.socket:
    try:
        infos = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, number, _, target = infos[0]
        listening = socket.socket(family, kind, number)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(target)
            listening.listen(2048)
            listening.setblocking(False)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ListenRefused(f"can't listen on {address.host}:{address.port}: {reason}") from None
    return listening


def server_factory(listen: str, *, public: bool = False) -> Any:
    """Returns a function that makes the server of an instance. Raises `ListenRefused` for a wrong address at once."""
    where = parse_bind_address(listen, public=public)

    def open_api(instance: Instance) -> ApiServer:
        return ApiServer(instance, where)

    return open_api
