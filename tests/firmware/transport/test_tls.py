"""What carries TLS, piece by piece. With real servers it is tested in tests/emulated."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import utils

from device import DeviceError, Handle, Interpreter

ALERT, HANDSHAKE, CHANGE_CIPHER_SPEC = 21, 22, 20
PREFIX = "TLS with example.org: "


def record(kind: int, body: bytes) -> bytes:
    return bytes((kind, 3, 3)) + len(body).to_bytes(2, "big") + body


# _Wire: what TLS takes for its connection


@pytest.fixture
def wire(device: Interpreter) -> Handle:
    made: Handle = device.call("transport.tls_stream:Wire")
    return made


def read(wire: Handle, kind: int, body: bytes) -> None:
    """A record comes, and TLS reads it: the header, then as much as that says."""
    wire.come(record(kind, body))
    assert wire.readinto(5) == record(kind, body)[:5]
    if body:
        assert wire.readinto(len(body)) == body


def test_a_header_is_read_whole_however_it_comes(wire: Handle) -> None:
    header = record(HANDSHAKE, b"hello")[:5]
    for byte in header[:4]:
        assert (wire.wanted(), wire.readinto(5)) == (5, None)
        wire.come(bytes((byte,)))
    assert wire.readinto(5) is None
    wire.come(header[4:])
    assert wire.readinto(5) == header
    assert wire.wanted() == 1


def test_a_body_is_read_in_the_pieces_that_come(wire: Handle) -> None:
    wire.come(record(HANDSHAKE, b"hello")[:7])
    assert wire.readinto(5) == record(HANDSHAKE, b"hello")[:5]
    assert wire.readinto(5) == b"he"
    assert (wire.readinto(3), wire.wanted()) == (None, 1)
    wire.come(b"l")
    assert wire.readinto(3) == b"l"
    wire.come(b"lo")
    assert wire.readinto(2) == b"lo"
    assert (wire.readinto(5), wire.wanted()) == (None, 5)
    read(wire, HANDSHAKE, b"again")


def test_a_record_without_a_body_is_followed_by_another(wire: Handle) -> None:
    read(wire, HANDSHAKE, b"")
    assert wire.wanted() == 5
    read(wire, HANDSHAKE, b"after it")


def test_a_long_record_is_counted_in_two_bytes(wire: Handle) -> None:
    wire.come(record(HANDSHAKE, bytes(0x0203)))
    wire.readinto(5)
    for size in (0x0200, 3):
        assert wire.wanted() == 1
        assert wire.readinto(size) == bytes(size)
    assert wire.wanted() == 5


def test_the_handshake_is_over_after_the_record_that_follows_change_cipher_spec(
    wire: Handle,
) -> None:
    """And not before TLS asks for more, for until then it may refuse that record."""
    for body in (b"ServerHello", b"Certificate", b"ServerHelloDone"):
        read(wire, HANDSHAKE, body)
        assert (wire.readinto(5), wire.shaken()) == (None, False)
    read(wire, CHANGE_CIPHER_SPEC, b"\x01")
    assert (wire.readinto(5), wire.shaken()) == (None, False)
    wire.come(record(HANDSHAKE, b"Finished")[:9])
    wire.readinto(5)
    assert wire.readinto(8) == b"Fini"
    assert (wire.readinto(4), wire.shaken()) == (None, False)
    wire.come(b"shed")
    assert wire.readinto(4) == b"shed"
    assert wire.shaken() is False
    assert (wire.readinto(5), wire.shaken()) == (None, True)
    read(wire, ALERT, b"\x01\x00")
    assert wire.shaken() is True


def test_what_tls_writes_waits_in_a_bounded_buffer(device: Interpreter) -> None:
    wire = device.call("transport.tls_stream:Wire", 8)
    assert (wire.write(b"12345"), wire.full()) == (5, False)
    assert (wire.write(b"67890"), wire.full()) == (3, True)
    assert wire.write(b"90") is None
    assert wire.taken() == b"12345678"
    assert (wire.full(), wire.taken()) == (False, b"")
    assert wire.write(b"90") == 2
    assert wire.taken() == b"90"


# TlsStream: what steps between TLS and the modem


def bench(device: Interpreter, *given: Any, endless: bool = False) -> Handle:
    made: Handle = device.call("transport.tls_stream:Bench", list(given), endless)
    return made


def refused(call: Any, *arguments: Any) -> str:
    with pytest.raises(DeviceError) as caught:
        call(*arguments)
    assert caught.value.name == "TlsError"
    assert caught.value.text.startswith(PREFIX)
    return caught.value.text.removeprefix(PREFIX)


@pytest.mark.parametrize("endless", [False, True], ids=["nothing", "junk without end"])
def test_nothing_is_waited_for_beyond_its_time(device: Interpreter, endless: bool) -> None:
    """Not even while records come all the time, when none is for the application."""
    stream = bench(device, None, endless=endless)
    length, took = stream.receive(50)
    assert length == 0
    assert took < 1000
    assert stream.state()[0] is True
    assert refused(bench(device, None, endless=endless).handshake, 50) == (
        "the server did not finish within 0 s: does it speak TLS on this port?"
    )


def test_what_is_there_is_received_without_waiting(device: Interpreter) -> None:
    """The first look may find only what TLS has to read before."""
    assert bench(device, None, 3, endless=True).receive(0)[0] == 3


def test_the_servers_end_is_the_end(device: Interpreter) -> None:
    stream = bench(device, 0)
    with pytest.raises(DeviceError) as caught:
        stream.receive(1000)
    assert (caught.value.name, caught.value.text) == (
        "ModemClosed",
        "The server closed the connection.",
    )
    assert stream.state()[0] is False


def test_tls_is_given_the_same_bytes_again_until_it_takes_them(device: Interpreter) -> None:
    stream = bench(device, b"record", b"rest", 3, 2, endless=True)
    stream.send(b"hello")
    assert stream.calls() == [b"hello", b"hello", b"hello", b"lo"]
    assert stream.sent() == [b"record", b"rest"]


def test_a_send_that_takes_too_long_is_the_end(device: Interpreter) -> None:
    stream = bench(device, b"record", endless=True)
    with pytest.raises(DeviceError) as caught:
        stream.send(b"hello", 20)
    assert caught.value.name == "SendFailed"
    assert caught.value.text == "TLS did not send all data in time: connect again."
    assert stream.state()[0] is False


def test_a_server_that_speaks_first_loses_nothing(device: Interpreter) -> None:
    """The byte that ends the handshake is the first of the data."""
    stream = bench(device, None, 1, 5, endless=True)
    stream.handshake(1000)
    assert [stream.receive(0)[0] for _ in range(2)] == [1, 5]


MEMORY = "memory ran out."
WRONG = (
    "the server's certificate, or a key or a signature of the handshake, is wrong: it is not on "
    "P-256, or was changed on its way."
)
CERTIFICATE = "the server's certificate is refused: "


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        ("memory:", MEMORY),
        ("os:12", MEMORY),
        ("os:16", MEMORY),
        ("os:-32512", MEMORY),  # SSL_ALLOC_FAILED
        ("os:-10368", MEMORY),  # X509_ALLOC_FAILED
        ("os:-24960", MEMORY),  # CIPHER_ALLOC_FAILED
        ("os:-9066", MEMORY),  # X509_INVALID_NAME and ASN1_ALLOC_FAILED
        ("os:-9186", WRONG),  # X509_INVALID_NAME and ASN1_UNEXPECTED_TAG
        ("os:-8448", WRONG),  # the first of X.509 but one
        ("os:-19968", WRONG),  # ECP_VERIFY_FAILED
        ("os:-29056", "a record was changed on its way."),
        ("os:-30592", "the server ended it with an alert: its log says why."),
        ("os:-26880", "it failed with error 0x6900 of mbed TLS."),
        ("os:5", "it failed with error 0x0005 of mbed TLS."),
        ("value:The certificate validity has expired\n", CERTIFICATE + "it has expired, by this"
         " board's clock."),
        ("value:Some other reason\n", CERTIFICATE + "Some other reason."),
        (
            "value:The certificate Common Name (CN) does not match with the expected CN\n"
            "The certificate is not correctly signed by the trusted CA\n",
            CERTIFICATE + "it is signed by none of the CAs that this board trusts: another server"
            " answers, or its CA was changed and this board was not told; it is for another name"
            " than example.org.",
        ),
    ],
)  # fmt: skip
def test_errors_are_explained(device: Interpreter, error: str, sentence: str) -> None:
    stream = bench(device, error)
    assert refused(stream.receive, 1000) == sentence
    assert stream.state()[0] is False


def test_the_alert_that_tls_has_written_is_sent(device: Interpreter) -> None:
    """It is what the server learns."""
    stream = bench(device, b"hello", b"alert", "os:-29056", endless=True)
    refused(stream.handshake, 1000)
    assert stream.sent() == [b"hello", b"alert"]


# Steps that are left, closed or dropped


@pytest.mark.parametrize("then", ["send", "receive"])
@pytest.mark.parametrize(
    ("given", "begun"),
    [((b"record", 5), ("send", b"hello")), ((b"alert", 5), ("receive", bytes(8), 1000))],
    ids=["sending", "receiving"],
)
def test_records_that_were_dropped_are_the_end(
    device: Interpreter, given: tuple[Any, ...], begun: tuple[Any, ...], then: str
) -> None:
    """TLS counts them: the server would take no other."""
    stream = bench(device, *given, endless=True)
    stream.begin(*begun)
    assert not stream.connected()
    with pytest.raises(DeviceError, match=r"ModemClosed: .*left while it sent"):
        stream.send(b"more") if then == "send" else stream.receive(1000)
    assert stream.sent() == [given[0]]
    assert stream.state()[0] is False


def test_a_receive_that_was_dropped_is_none(device: Interpreter) -> None:
    stream = bench(device, None, 3, endless=True)
    stream.begin("receive", bytes(8), 1000)
    assert stream.connected()
    assert stream.receive(1000)[0] == 3


def test_what_the_modem_has_given_is_received_without_asking_it(device: Interpreter) -> None:
    stream = bench(device, None, 3, endless=True)
    assert (stream.receive(-1)[0], stream.waited()) == (0, 0)
    assert (stream.receive(-1)[0], stream.waited()) == (3, 0)


@pytest.mark.parametrize("pause", [100, 60_001, 10 * 24 * 3600 * 1000])
def test_a_handshake_that_was_left_goes_on_or_is_over(
    device: Interpreter, ticks: None, pause: int
) -> None:
    """What came is looked at before the time."""
    stream = bench(device, None, None, True, endless=True)
    stream.begin("handshake", 60_000)
    assert stream.go_on(pause) is None
    assert stream.connected()
    stream = bench(device, None, endless=True)
    stream.begin("handshake", 60_000)
    if pause > 60_000:
        assert refused(stream.go_on, pause).startswith("the server did not finish within 60 s")


@pytest.mark.parametrize("how", ["close", "drop"])
def test_a_handshake_that_nobody_goes_on_with_gives_its_place_free(
    device: Interpreter, how: str
) -> None:
    """MicroPython finalises no generators: its memory is needed for the next."""
    assert device.call("transport.tls_stream:connect_again", how) == [
        [True, True],
        [how == "close", how == "close"],
    ]


def test_closing_frees_tls_and_the_connection(device: Interpreter) -> None:
    stream = bench(device, None)
    stream.close()
    assert stream.state() == [False, True, True, False]
    stream = bench(device, None)
    stream.abandon()
    assert stream.state() == [False, True, False, True]


# What is refused before anything is sent


def test_firmware_without_tls_says_so(device: Interpreter) -> None:
    if device.get("birthkey.transport.tls:tls") is None:
        with pytest.raises(ValueError, match="built without the module `tls`"):
            device.call("birthkey.transport.tls:Tls", None, b"\x30\x82\x00\x00")
    else:
        with pytest.raises(ValueError, match="ca: what was given is no certificate"):
            device.call("birthkey.transport.tls:Tls", None, b"\x30\x82\x00\x00")


@pytest.mark.parametrize("os_random", [False, True])
def test_birthkey_signs_where_it_can(device: Interpreter, os_random: bool) -> None:
    digest = bytes(range(1, 49))  # of SHA-384, of which a P-256 key signs the first 32 bytes
    signed = int.from_bytes(digest[:32], "big")
    assert device.call("transport.tls_stream:sign", True, os_random, digest) == [
        b"certificate",
        utils.encode_dss_signature(signed, signed),
    ]


def test_the_birth_key_signs_with_no_nonce_of_the_chips_generator_alone(
    device: Interpreter,
) -> None:
    """An operating system's nonces will do."""
    assert device.call("transport.tls_stream:sign", False, True, b"") == [b"certificate", None]
    with pytest.raises(ValueError, match="a client certificate would put the birth key at risk"):
        device.call("transport.tls_stream:sign", False, False, b"")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"tls": True, "server": ("localhost", 1)}, "tls needs server, .* and ca"),
        ({"tls": True, "server": ("localhost", 1), "ca": ""}, "tls needs server, .* and ca"),
        ({"server": ("localhost", 1), "ca": b"ca"}, "ca and client_certificate are for tls=True"),
        (
            {"server": ("localhost", 1), "client_certificate": True},
            "ca and client_certificate are for tls=True",
        ),
    ],
)
def test_a_device_is_not_made_with_half_of_it(
    device: Interpreter, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        device.call("transport.tls_stream:make_device", options)


def test_a_device_needs_a_server_for_tls(device: Interpreter) -> None:
    with pytest.raises(TypeError, match="server is missing"):
        device.call("transport.tls_stream:make_device", {"tls": True, "ca": b"ca"})
    # A transport of its own has no place for TLS.
    with pytest.raises(ValueError, match=r"tls needs server, .* and ca"):
        device.call("transport.tls_stream:make_device", {"tls": True, "ca": b"ca"}, True)
