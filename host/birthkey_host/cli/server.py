"""`birthkey init`, `serve` and `server-key`."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from birthkey_host import files, modes, sizes
from birthkey_host.cli.common import Place, fail, group
from birthkey_host.enrolment import POLICIES
from birthkey_host.enrolment import policy as policy_named
from birthkey_host.keys import ServerKey
from birthkey_host.serial_link import SerialLink, SerialLinkError
from birthkey_host.server import open_files
from birthkey_host.server.certificate import CertificateError, CertificateFile
from birthkey_host.server.log_format import OneLine
from birthkey_host.server.newcomers import AT_ONCE, NewcomerLimits
from birthkey_host.server.pipeline import Pipeline
from birthkey_host.server.reserve import ReserveLimits
from birthkey_host.server.tcp import Limits, TcpServer
from birthkey_host.server.tls import ClientCertificates, make_context
from birthkey_host.verifier import Verifier

TLS = "127.0.0.1:7156"
LIMITS = Limits()

log = logging.getLogger(__name__)

MANY = 1_000_000_000
"""More connections or devices than any server has; the system's own numbers hold it."""

LEAST_QUOTA = 16_000
"""Bytes: enough for one boot and one message, whatever their lengths."""

Listener = tuple[str, int, CertificateFile | None]
"""Host, port, and what TLS needs there."""


def init(
    context: typer.Context,
    new_key: Annotated[
        bool,
        typer.Option(
            "--new-key", help="Make a key for a registry that has lost its own; boards need it."
        ),
    ] = False,
) -> None:
    """Make the server's key and an empty registry.

    What there is of them is left as it is, and what is missing is made. But a registry without its
    key gets another one only with --new-key: its boards seal to the old key alone.
    """
    place: Place = context.obj
    had_key = os.path.lexists(place.key_path)
    with place.registry() as registry:
        had_registry = registry.exists()
        if had_registry:
            registry.check()
        if had_key and (had_registry or new_key):
            also = " and a registry" if had_registry else ""
            fail(f"there is a {place.key_path}{also} already; nothing was changed")
        if had_registry and not new_key:
            fail(
                f"there is a registry already, and no {place.key_path}: put the key back from a"
                " copy, for the boards in the registry seal to it alone. If it is lost, `birthkey"
                " init --new-key` makes another, which must be put onto each board"
            )
        key = place.server_key() if had_key else _make_key(place)
        if not had_registry:
            try:
                registry.create()
            except BaseException:
                if not had_key:
                    place.key_path.unlink()  # no board knows it, and it is in no second try's way
                raise
    typer.echo(f"server id   {group(key.server_id)}")
    typer.echo(f"public key  {key.public.hex()}")
    typer.echo()
    if had_key:
        typer.echo(f"The key in {place.key_path} was left as it was, and the registry is new:")
        typer.echo("boards that know the key enrol again.")
    else:
        typer.echo(f"Keep a copy of {place.key_path}: boards answer to no other key.")
        typer.echo('Put the public key into each board\'s birthkey.json, as its "server_key".')
    if had_registry:
        typer.echo(
            "The registry was left as it was. Until one of its boards has the new key, nothing"
        )
        typer.echo("can be read of what that board sends.")
    typer.echo(f"Then start the server: {place.birthkey} serve")


def _make_key(place: Place) -> ServerKey:
    key = ServerKey.generate()
    try:
        files.make_folder(place.home)
        key.save(place.key_path)
    except OSError as error:
        fail(f"cannot write {place.key_path}: {error.strerror}")
    return key


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
        str,
        typer.Option(
            metavar="BYTES", help="Kept of one device, as 50M or 2G; it is told busy at more."
        ),
    ] = "200M",
    new_devices: Annotated[
        int,
        typer.Option(
            min=1,
            max=MANY,
            metavar="COUNT",
            help="That one address may bring at once, and a fifth as many each hour, if nobody"
            " approved them before; all together ten times as many.",
        ),
    ] = AT_ONCE,
    reserve: Annotated[
        str,
        typer.Option(
            metavar="BYTES",
            help="Of the registry's disk that boards may not take; new devices, not twice as much.",
        ),
    ] = "64M",
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
            max=MANY,
            help="Connections at once: those of boards that work stay, as far as they go."
            f"  [default: {LIMITS.connections}]",
        ),
    ] = None,
    connections_per_source: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MANY,
            help="Of them from one address; 4 times as many from a /48 of IPv6."
            f"  [default: {LIMITS.connections_per_source}]",
        ),
    ] = None,
    serial: Annotated[
        str | None,
        typer.Option(metavar="PORT", help="Serve one board on this serial port, and no TCP."),
    ] = None,
    baudrate: Annotated[
        int, typer.Option(min=1, max=20_000_000, help="Of the serial port.")
    ] = 115200,
) -> None:
    """Serve boards over TCP and TLS, or one on a serial port, until SIGINT or SIGTERM.

    SIGHUP, which a terminal sends when it closes, ends nothing: the certificate is read again.
    Others must not be able to write the home, the key, the registry or the certificate.
    """
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
    kept, spared = _quota(quota), _size("--reserve", reserve)
    plain = _address(listen)
    secure = _address(tls_listen or TLS)
    clients = _client_certificates(client_certificates or ClientCertificates.NONE)
    try:
        chosen = policy_named(policy)
    except ValueError as error:
        fail(str(error), code=2)
    key = place.server_key()
    _log_in_lines(place)  # what is said of the certificate, too
    listeners: list[Listener] = [(*plain, None)]
    if tls or require_tls:
        path = certificate or place.home / "tls.pem"
        listeners.append((*secure, _certificate(path, clients, place)))
    with place.open_registry(quota=kept) as registry:
        database = [] if registry.path is None else modes.sqlite_files(registry.path)
        for warning in modes.check([place.key_path, *database], place.home):
            log.warning("%s", warning)
        verifier = Verifier([key], registry.lookup)
        pipeline = Pipeline(
            verifier,
            registry,
            chosen,
            newcomers=NewcomerLimits(at_once=new_devices),
            reserve=ReserveLimits(growth=spared),
            require_tls=require_tls,
        )
        pipeline.begin()
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


def _log_in_lines(place: Place) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine(place.hint))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _quota(quota: str) -> int:
    size = _size("--quota", quota)
    if size < LEAST_QUOTA:
        fail(
            f"--quota {quota} leaves no room for a boot and one long message, which take up to"
            f" {LEAST_QUOTA} bytes; it counts bytes, as 50M",
            code=2,
        )
    return size


def _size(option: str, text: str) -> int:
    try:
        return sizes.parse(text)
    except ValueError as error:
        fail(f"{option} {error}", code=2)


def _client_certificates(when: str) -> ClientCertificates:
    try:
        return ClientCertificates(when)
    except ValueError:
        fail(
            f"no --client-certificates {when!r}; there are: {', '.join(ClientCertificates)}", code=2
        )


def _certificate(path: Path, clients: ClientCertificates, place: Place) -> CertificateFile:
    try:
        return CertificateFile(path, partial(make_context, clients=clients), hint=place.hint)
    except CertificateError as error:
        fail(str(error))


async def _serve(server: TcpServer, listeners: Sequence[Listener]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _hung_up, [each for _, _, each in listeners])
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


def _hung_up(certificates: Iterable[CertificateFile | None]) -> None:
    """What SIGHUP means: read again what may have changed, and go on."""
    found = [each for each in certificates if each is not None]
    log.info(
        "got SIGHUP, and goes on serving%s", "" if found else "; there is nothing to read again"
    )
    for certificate in found:
        certificate.read_again()


def _serve_serial(port: str, baudrate: int, pipeline: Pipeline) -> None:
    hung_up: list[
        int
    ] = []  # a signal's handler may interrupt the writing of a line: it writes none

    def between() -> None:
        while hung_up:
            hung_up.pop()
            _hung_up(())
        pipeline.lines.sum_up(every=LIMITS.summaries)

    try:
        with SerialLink(port, pipeline.frames, baudrate, between=between) as link:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: link.stop())
            signal.signal(signal.SIGHUP, lambda number, _: hung_up.append(number))
            typer.echo(f"serving {port}")
            link.run()
    except (SerialLinkError, ValueError) as error:
        fail(str(error))
    finally:
        pipeline.lines.sum_up()


def _address(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        fail(f"{listen!r} is not HOST:PORT", code=2)
    return host.removeprefix("[").removesuffix("]"), int(port)


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
