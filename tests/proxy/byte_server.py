"""
A real HTTP server on a thread of its own that writes down when the first byte of a request came.

Also a forward proxy: `CONNECT` opens a tunnel to the host that is named.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import h11
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST: Final = "127.0.0.1"
READ_BYTES: Final = 64 * 1024


@dataclass(slots=True)
class Received:
    """One request as it arrived. Instants are `time.monotonic_ns`."""

    connection: int
    first_byte_ns: int
    method: str = ""
    target: str = ""
    body_bytes: int = 0
    sha256: str = ""
    is_complete: bool = False


class ByteServer:
    """
    Answers every request with what it received.

    Paths: `/status/<n>` answers with that status, `/moved/<n>` redirects to `/echo` with it,
    `/hang-up` closes the connection without an answer.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.received: list[Received] = []
        self.port = 0
        self._tls = tls
        self._connections = 0
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{HOST}:{self.port}"

    def start(self) -> None:
        ready = threading.Event()
        self._loop.call_soon(ready.set)
        self._loop.run_until_complete(self._listen())
        self._thread.start()
        assert ready.wait(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        connection = self._connections
        try:
            await _Conversation(self, reader, writer, connection).run()
        except (ConnectionError, ssl.SSLError, h11.RemoteProtocolError, asyncio.CancelledError):
            pass  # the client, or the test, is done
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
                await writer.wait_closed()


class _Conversation:
    """The requests of one connection, one after the other."""

    def __init__(
        self,
        server: ByteServer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        connection: int,
    ) -> None:
        self._server, self._connection = server, connection
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        while (received := await self._request()) is not None:
            path = received.target.partition("?")[0]
            if path == "/hang-up":
                return
            if received.method == "CONNECT":
                await self._tunnel(received.target)
                return
            await self._answer(received, path)
            if self._http.our_state is h11.MUST_CLOSE:
                return
            self._http.start_next_cycle()

    async def _request(self) -> Received | None:
        received: Received | None = None
        digest = hashlib.sha256()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                data = await self._reader.read(READ_BYTES)
                if received is None and data:
                    received = Received(self._connection, time.monotonic_ns())
                    self._server.received.append(received)
                self._http.receive_data(data)
            elif isinstance(event, h11.Request):
                assert received is not None
                received.method = event.method.decode()
                received.target = event.target.decode()
                if received.method == "CONNECT":
                    return received
            elif isinstance(event, h11.Data):
                assert received is not None
                received.body_bytes += len(event.data)
                digest.update(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert received is not None
                received.sha256 = digest.hexdigest()
                received.is_complete = True
                return received
            else:
                return None

    async def _answer(self, received: Received, path: str) -> None:
        _, kind, *rest = path.split("/")
        status = int(rest[0]) if kind in {"status", "moved"} else 200
        headers = [("content-type", "application/json")]
        if kind == "moved":
            headers.append(("location", "/echo"))
        body = json.dumps({"bytes": received.body_bytes, "sha256": received.sha256}).encode()
        headers.append(("content-length", str(len(body))))
        for event in (
            h11.Response(status_code=status, headers=headers),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self._writer.write(self._http.send(event) or b"")
        await self._writer.drain()

    async def _tunnel(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        self._writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(_copy(self._reader, writer), _copy(reader, self._writer))
        finally:
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(READ_BYTES):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


@contextmanager
def served(tls: ssl.SSLContext | None = None) -> Iterator[ByteServer]:
    server = ByteServer(tls)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def certificate_for_here(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make a certificate for this machine; returns the server's context and a client's."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    pem = folder / "here.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(pem)
    return theirs, ssl.create_default_context(cafile=str(pem))
