"""X.509 (RFC 5280), as much as TLS needs: CA certificates in, the board's own certificate out.

Nothing is verified here: mbed TLS does that.
"""

from binascii import a2b_base64, hexlify
from hashlib import sha256

from birthkey._port import const
from birthkey.crypto import p256

_INTEGER = const(0x02)
_BIT_STRING = const(0x03)
_OCTET_STRING = const(0x04)
_UTF8_STRING = const(0x0C)
_SEQUENCE = const(0x30)
_SET = const(0x31)

_BEGIN = "-----BEGIN CERTIFICATE-----"
_END = "-----END CERTIFICATE-----"
_PRIVATE = "PRIVATE KEY-----"

# The object identifiers, whole: ecdsa-with-SHA256, id-ecPublicKey with prime256v1, commonName.
_ECDSA_SHA256 = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"
_P256_KEY = b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
_P256 = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
_COMMON_NAME = b"\x06\x03\x55\x04\x03"

# A board has no clock: no well-defined expiration date (RFC 5280 section 4.1.2.5).
_VALIDITY = b"\x30\x20\x17\x0d700101000000Z\x18\x0f99991231235959Z"

# keyUsage digitalSignature, critical; extKeyUsage clientAuth.
_EXTENSIONS = (
    b"\xa3\x27\x30\x25"
    b"\x30\x0e\x06\x03\x55\x1d\x0f\x01\x01\xff\x04\x04\x03\x02\x07\x80"
    b"\x30\x13\x06\x03\x55\x1d\x25\x04\x0c\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02"
)


def certificates(given):
    """The certificates in DER of `given`: PEM as text or bytes, DER bytes, or a list of these.

    ValueError for what is neither, and for a private key among them.
    """
    if isinstance(given, (list, tuple)):
        return [der for one in given for der in certificates(one)]
    if isinstance(given, (bytes, bytearray, memoryview)):
        given = bytes(given)
        # A SEQUENCE whose length takes more than a byte: text has no such second character.
        if len(given) > 1 and given[0] == _SEQUENCE and given[1] & 0x80:
            return [given]
        try:
            given = given.decode()
        except ValueError:
            raise ValueError("no certificate in it: these bytes are neither DER nor PEM")
    if not isinstance(given, str):
        raise ValueError("certificates are PEM, DER bytes, or a list of these")
    if _PRIVATE in given:
        raise ValueError(
            "a private key is in it, and a CA's must be on no board: give the certificates alone, "
            "ca.pem of `birthkey ca`"
        )
    found = []
    for part in given.split(_BEGIN)[1:]:
        body, end, _ = part.partition(_END)
        try:
            der = a2b_base64("".join(body.split()).encode())
        except ValueError:
            der = b""
        if not end or not der:
            raise ValueError("a certificate in PEM is damaged or cut short")
        found.append(der)
    if not found:
        raise ValueError("no certificate in it: PEM text begins with " + _BEGIN)
    return found


def self_signed(private, public, identity):
    """A certificate in DER of P-256 key `public`, x || y, which the key itself has signed.

    Its name is `identity` in hex digits. The same arguments give the same bytes.
    """
    name = _der(_SEQUENCE, _COMMON_NAME, _der(_UTF8_STRING, hexlify(identity)))
    name = _der(_SEQUENCE, _der(_SET, name))
    to_be_signed = _der(
        _SEQUENCE,
        b"\xa0\x03\x02\x01\x02",  # version 3
        _der(_INTEGER, b"\x01", identity),  # the serial number is positive
        _ECDSA_SHA256,
        name,
        _VALIDITY,
        name,
        _der(_SEQUENCE, _P256_KEY, _der(_BIT_STRING, b"\x00\x04", public)),
        _EXTENSIONS,
    )
    signed = signature(p256.sign(private, sha256(to_be_signed).digest()))
    return _der(_SEQUENCE, to_be_signed, _ECDSA_SHA256, _der(_BIT_STRING, b"\x00", signed))


def signature(raw):
    """ECDSA-Sig-Value (RFC 3279 section 2.2.3) of a signature r || s."""
    return _der(_SEQUENCE, _integer(raw[:32]), _integer(raw[32:]))


def private_key(private, public):
    """ECPrivateKey (RFC 5915) of a P-256 key."""
    return _der(
        _SEQUENCE,
        b"\x02\x01\x01",
        _der(_OCTET_STRING, private),
        _der(0xA0, _P256),
        _der(0xA1, _der(_BIT_STRING, b"\x00\x04", public)),
    )


def _integer(number):
    number = number.lstrip(b"\0")
    return _der(_INTEGER, b"\0" if number[0] & 0x80 else b"", number)


def _der(tag, *parts):
    """One value of at most 65535 bytes."""
    body = b"".join(parts)
    size = len(body)
    if size < 0x80:
        head = bytes((tag, size))
    elif size < 0x100:
        head = bytes((tag, 0x81, size))
    else:
        head = bytes((tag, 0x82, size >> 8, size & 0xFF))
    return head + body
