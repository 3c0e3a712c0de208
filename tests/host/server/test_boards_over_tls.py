"""Boards over TLS, with a verifier and a registry behind it: what is recorded, and for whom."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest

from birthkey import message as firmware_message
from birthkey.identity import BOOT, KEY, MAGIC, Identity, boot_record
from birthkey.keystore import Keystore, Twins
from birthkey.session import Session
from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry
from birthkey_host.server.tcp import Limits
from recording import count, data
from tcp_clients import Client, run
from tls_clients import PREFIX, V1_2, V1_3, Serve, ask, client_context, enrol

VERSIONS = pytest.mark.parametrize("version", [V1_2, V1_3], ids=["1.2", "1.3"])


@VERSIONS
def test_life_of_a_board(
    serve: Serve, registry: Registry, board: ReferenceDevice, version: ssl.TLSVersion
) -> None:
    async def live() -> None:
        async with serve() as network:
            client = await network.secure(client_context(version))
            assert (await enrol(client, board)).type == Type.ACKNOWLEDGE
            for _ in range(3):
                assert (await ask(client, board, data(board))).type == Type.ACKNOWLEDGE

    run(live())
    assert count(registry, "messages") == 4


@VERSIONS
def test_what_was_changed_or_cut_on_its_way_is_not_recorded(
    serve: Serve, registry: Registry, board: ReferenceDevice, version: ssl.TLSVersion
) -> None:
    async def spoil() -> None:
        async with serve() as network:
            await enrol(await network.secure(client_context(version)), board)
            for spoilt in ("changed", "cut"):
                client = await network.secure(client_context(version))
                frame = board.frame(data(board))
                records = bytearray(client.records(len(frame).to_bytes(2, "big") + frame))
                if spoilt == "changed":
                    records[100] ^= 0x20
                client.writer.write(records[: len(records) - (spoilt == "cut")])
                client.writer.write_eof()
                with contextlib.suppress(ssl.SSLError):
                    await client.ended()
            lines = [line for line in network.lines if line.startswith(PREFIX)]
            assert [line.removeprefix(PREFIX).partition(":")[0] for line in lines] == [
                "what it sent was changed on its way",
                "it was cut",
            ]

    run(spoil())
    assert count(registry, "messages") == 1


class TestRequireTls:
    def test_plain_port_says_so_and_records_nothing(
        self, serve: Serve, registry: Registry, board: ReferenceDevice
    ) -> None:
        async def try_both() -> None:
            async with serve(require_tls=True) as network:
                plain, client = await network.connect(), await network.secure()
                message = board.enrol("pico", "1.0")
                answer = await ask(plain, board, message)
                assert answer == Message(Type.REFUSE, message.counter, {0: 0, 1: "tls-required"})
                assert network.lines == [
                    "refused policy: tls-required: it came without TLS from 127.0.0.1, device"
                    f" {board.device_id.hex()}"
                ]
                tables = ("devices", "boots", "messages", "events", "approvals")
                assert {count(registry, table) for table in tables} == {0}
                assert (await ask(client, board, message)).type == Type.ACKNOWLEDGE
                reading = data(board)
                assert (await ask(plain, board, reading)).body == {0: 1, 1: "tls-required"}
                assert count(registry, "messages") == 1
                assert (await ask(client, board, reading)).type == Type.ACKNOWLEDGE

        run(try_both())
        assert count(registry, "messages") == 2

    def test_firmware_understands_it(
        self,
        serve: Serve,
        registry: Registry,
        server_key: ServerKey,
        board: ReferenceDevice,
        tmp_path: Path,
    ) -> None:
        flash = Keystore(str(tmp_path / "flash"))
        twins = Twins(Keystore(flash.path, MAGIC))
        key = board.private + board.public
        twins.write(KEY, key)
        twins.write(BOOT, boot_record(key, board.boot))
        identity = Identity(flash, None)
        session = Session(identity, [server_key.public])
        counter = identity.boot << 32
        encoded = firmware_message.encode(firmware_message.DATA, counter, {"t": 1})

        async def send() -> None:
            async with serve(require_tls=True) as network:
                plain, client = await network.connect(), await network.secure()
                await enrol(client, board)
                answer = await plain.ask(session.seal(counter, encoded, 0))
                assert session.open(answer, 0) == (
                    firmware_message.REFUSE,
                    counter,
                    {0: board.boot, 1: "tls-required"},
                )
                assert "TLS only" in firmware_message.TRANSIENT["tls-required"]
                answer = await client.ask(session.seal(counter, encoded, 0))
                assert session.open(answer, 0)[0] == firmware_message.ACKNOWLEDGE

        run(send())
        assert count(registry, "messages") == 2

    def test_what_is_wrong_anyway_is_said_as_ever(
        self, serve: Serve, registry: Registry, board: ReferenceDevice
    ) -> None:
        async def send() -> None:
            async with serve(require_tls=True) as network:
                plain, client = await network.connect(), await network.secure()
                assert (await ask(plain, board, data(board))).body == {0: 0, 1: "unknown-device"}
                await enrol(client, board)
                assert (await ask(plain, board, board.message(9, {}))).body == {0: 1, 1: "type"}
                plain.send(b"rubbish")
                assert (await ask(plain, board, data(board))).body == {0: 1, 1: "tls-required"}

        run(send())
        assert count(registry, "messages") == 1

    def test_without_it_both_ports_take_readings(
        self, serve: Serve, registry: Registry, board: ReferenceDevice
    ) -> None:
        async def send() -> None:
            async with serve() as network:
                for client in (await network.connect(), await network.secure()):
                    assert (await enrol(client, board)).type == Type.ACKNOWLEDGE

        run(send())
        assert count(registry, "messages") == 2


class TestIdle:
    LIMITS = Limits(idle=0.15, idle_proven=0.8)

    def test_board_that_has_proven_itself_may_be_idle_for_longer(
        self, serve: Serve, board: ReferenceDevice
    ) -> None:
        async def wait() -> None:
            async with serve(limits=self.LIMITS) as network:
                stranger, client = await network.secure(), await network.secure()
                await enrol(client, board)
                await Client(stranger.reader, stranger.writer).closed()
                await asyncio.sleep(0.1)
                assert (await ask(client, board, data(board))).type == Type.ACKNOWLEDGE
                began = asyncio.get_running_loop().time()
                await Client(client.reader, client.writer).closed()
                assert 0.3 < asyncio.get_running_loop().time() - began < 5

        run(wait())

    def test_connection_that_is_the_boards_no_more_has_no_longer(
        self, serve: Serve, board: ReferenceDevice
    ) -> None:
        async def wait() -> None:
            async with serve(limits=Limits(idle=0.15, idle_proven=60)) as network:
                former = await network.secure()
                await enrol(former, board)
                later = await network.secure()
                await ask(later, board, data(board))
                await Client(former.reader, former.writer).closed()
                await asyncio.sleep(0.2)
                assert (await ask(later, board, data(board))).type == Type.ACKNOWLEDGE

        run(wait())
