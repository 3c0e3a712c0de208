"""`birthkey init`, `serve` and `server-key`."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from birthkey_host.cli.common import Place, fail, group
from birthkey_host.enrolment import POLICIES
from birthkey_host.enrolment import policy as policy_named
from birthkey_host.keys import ServerKey
from birthkey_host.registry import QUOTA, RegistryError
from birthkey_host.serial_link import SerialLink, SerialLinkError
from birthkey_host.server import open_files
from birthkey_host.server.certificate import CertificateError, CertificateFile
from birthkey_host.server.pipeline import Pipeline
from birthkey_host.server.tcp import Limits, TcpServer
from birthkey_host.server.tls import ClientCertificates, make_context
from birthkey_host.verifier import Verifier

TLS = "127.0.0.1:7156"
LIMITS = Limits()

log = logging.getLogger(__name__)

Listener = tuple[str, int, CertificateFile | None]
"""Host, port, and what TLS needs there."""


def init(context: typer.Context) -> None:
    """Make the server's key and an empty registry."""
    place: Place = context.obj
    for path in (place.key_path, place.registry_path):
        if path.exists():
            fail(f"there is a {path} already; nothing was changed")
    key = ServerKey.generate()
    try:
        place.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        key.save(place.key_path)
    except OSError as error:
        fail(f"cannot write {place.key_path}: {error.strerror}")
    try:
        with place.registry() as registry:
            registry.create()
    except RegistryError:
        place.key_path.unlink()  # no board knows it yet, and a second try finds nothing in its way
        raise
    typer.echo(f"server id   {group(key.server_id)}")
    typer.echo(f"public key  {key.public.hex()}")
    typer.echo()
    typer.echo(f"Keep a copy of {place.key_path}: boards answer to no other key.")
    typer.echo('Put the public key into each board\'s birthkey.json, as its "server_key".')
    typer.echo("Then start the server: birthkey serve")


def server_key(context: typer.Context) -> None:
    """Print the server's public key as boards are given it: 128 hex digits, x || y."""
    typer.echo(context.obj.server_key().public.hex())


def serve(
    context: typer.Context,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.")
    ] = "127.0.0.1:7155",
    policy: Annotated[str, typer.Option(help=f"Who may enrol: {', '.join(POLICIES)}.")] = "approve",
    quota: Annotated[
        int, typer.Option(min=1, help="Frames kept of one device; it is told busy at more.")
    ] = QUOTA,
    tls: Annotated[bool, typer.Option("--tls", help="Listen for TLS too.")] = False,
    tls_listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help=f"Where to listen for TLS.  [default: {TLS}]"),
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Key, certificate and chain in one PEM file.  [default: tls.pem in the home]",
        ),
    ] = None,
    client_certificates: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN",
            help=f"Whether boards prove their birth key to TLS: {', '.join(ClientCertificates)}."
            "  [default: none]",
        ),
    ] = None,
    require_tls: Annotated[
        bool,
        typer.Option(
            "--require-tls", help="Take readings over TLS only; --tls goes without saying."
        ),
    ] = False,
    connections: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Connections at once: those of boards that work stay, as far as they go."
            f"  [default: {LIMITS.connections}]",
        ),
    ] = None,
    connections_per_source: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Of them from one address; 4 times as many from a /48 of IPv6."
            f"  [default: {LIMITS.connections_per_source}]",
        ),
    ] = None,
    serial: Annotated[
        str | None,
        typer.Option(metavar="PORT", help="Serve one board on this serial port, and no TCP."),
    ] = None,
    baudrate: Annotated[int, typer.Option(min=1, help="Of the serial port.")] = 115200,
) -> None:
    """Serve boards over TCP and TLS, or one on a serial port, until SIGINT or SIGTERM."""
    place: Place = context.obj
    details = {
        "--tls-listen": tls_listen,
        "--certificate": certificate,
        "--client-certificates": client_certificates,
    }
    of_the_network = {
        "--tls": tls,
        "--require-tls": require_tls,
        "--connections": connections,
        "--connections-per-source": connections_per_source,
    }
    for option, value in {**details, **of_the_network}.items():
        if serial is not None and value:
            fail(f"{option} does not go with --serial: there is no network in between", code=2)
    for option, value in details.items():
        if value is not None and not (tls or require_tls):
            fail(f"{option} is about TLS: give --tls or --require-tls, too", code=2)
    plain = _address(listen)
    secure = _address(tls_listen or TLS)
    clients = _client_certificates(client_certificates or ClientCertificates.NONE)
    try:
        chosen = policy_named(policy)
    except ValueError as error:
        fail(str(error), code=2)
    key = place.server_key()
    listeners: list[Listener] = [(*plain, None)]
    if tls or require_tls:
        listeners.append((*secure, _certificate(certificate or place.home / "tls.pem", clients)))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with place.open_registry(quota=quota) as registry:
        verifier = Verifier([key], registry.lookup)
        pipeline = Pipeline(verifier, registry, chosen, require_tls=require_tls)
        if serial is not None:
            _serve_serial(serial, baudrate, pipeline)
        else:
            limits = _limits(connections, connections_per_source)
            asyncio.run(_serve(TcpServer(pipeline, limits), listeners))


def _limits(connections: int | None, per_source: int | None) -> Limits:
    """What there is room for, which is less than what is asked for if the system allows no more."""
    wanted = connections or LIMITS.connections
    allowed = open_files.allow(wanted)
    if allowed < wanted:
        log.warning(
            "there is room for %d connections and not for %d: the limit on open files is %d, of"
            " which %d are for other things. Raise it (`ulimit -n %d`, or LimitNOFILE=%d for"
            " systemd), or say --connections %d",
            allowed,
            wanted,
            allowed + open_files.SPARE,
            open_files.SPARE,
            wanted + open_files.SPARE,
            wanted + open_files.SPARE,
            allowed,
        )
    return replace(
        LIMITS,
        connections=allowed,
        connections_per_source=per_source or LIMITS.connections_per_source,
    )


def _client_certificates(when: str) -> ClientCertificates:
    try:
        return ClientCertificates(when)
    except ValueError:
        fail(
            f"no --client-certificates {when!r}; there are: {', '.join(ClientCertificates)}", code=2
        )


def _certificate(path: Path, clients: ClientCertificates) -> CertificateFile:
    try:
        return CertificateFile(path, partial(make_context, clients=clients))
    except CertificateError as error:
        fail(str(error))


async def _serve(server: TcpServer, listeners: Sequence[Listener]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    lines = []
    try:
        for host, port, certificate in listeners:
            what = "listening on" if certificate is None else "listening for TLS on"
            try:
                addresses = await server.start(host, port, certificate)
            except OSError as error:
                fail(f"cannot listen on {_join(host, port)}: {error.strerror or error}")
            lines += [f"{what} {_join(*address)}" for address in addresses]
        for line in lines:
            typer.echo(line)
        await stop.wait()
    finally:
        await server.stop()


def _serve_serial(port: str, baudrate: int, pipeline: Pipeline) -> None:
    def frames(frame: bytes, source: str) -> list[bytes]:
        try:
            return pipeline.frames(frame, source)
        finally:
            pipeline.lines.sum_up(every=LIMITS.summaries)

    try:
        with SerialLink(port, frames, baudrate) as link:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: link.stop())
            typer.echo(f"serving {port}")
            link.run()
    except (SerialLinkError, ValueError) as error:
        fail(str(error))
    finally:
        pipeline.lines.sum_up()


def _address(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        fail(f"{listen!r} is not HOST:PORT", code=2)
    return host.removeprefix("[").removesuffix("]"), int(port)


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
