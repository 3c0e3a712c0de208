"""Public keys whose private keys are known: none of them becomes a device.

Firmware that was built with an example key, or a board with a broken random generator that others
have too, would be a device that anyone can speak for.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from birthkey_host.schema import BadKey

PUBLISHED = {
    bytes.fromhex(digits): source
    for digits, source in (
        ("750ca40795ab23e51a75dc76fa12c052f6f6c57ba8a732337b91f096592b6ef6", "RFC 6979 A.2.5"),
        ("496bd8afadf307e5b08c64b0421bf9dc01528a344a43bda88fadd1669da253ec", "RFC 9679 6"),
        ("b71d9fc27ee9ce61a60560b2eeeef7f6934a6b9d57ce122b2b12e932cacbf1d9", "RFC 9052 C.7.2"),
        ("e7eed51eaa0fc76cfd74ccd11309fac8d1d7fbdc2f9f807541f98c8b62abe779", "RFC 9052 C.7.2"),
        ("9ee5fb495cc991e948ef91fdffa981397c91bf3b00b1f8151397dcb3d993fc37", "RFC 9180 A.3.1"),
        ("1f3e0fc1d75eb7ed638ba92938a62add6e888473452c309f39cb2216dd7a03a0", "RFC 9180 A.3.1"),
        ("e723e2b2ce1ec4bbf088337eacfe2e13fb97cba81e7a0699b2115c615622162a", "RFC 9180 A.5.1"),
        ("f66baac7ef0a7519f0f29f5e9b00f31f852addf692197c59afcba350e0fcc77a", "RFC 9180 A.5.1"),
        ("6a485f48946bff5ad2d1f0ecee2d45753633b8098e691ace7098e2ba83e3fefd", "RFC 8392 A.2.3"),
        ("d0a4a8710d07765e3e7c0156ab145023a0d9b512d499db7c0e40f5720c4b3cf6", "RFC 7515 A.3.1"),
        ("00e1688373124a36f7c3204ef20f73c37be4bb0f34e72f45d7d38ee8dffa4c43", "RFC 7517 A.2"),
        ("52f416f0f9b5438394012b18cd2db76d070e294b0185a53700724e7a6b6d22f3", "RFC 5903 8.1"),
        ("d1625032b1edd76ac634256e6cc6071aea91c10cf9bb6974b5425f660b98aae4", "RFC 5903 8.1"),
    )
}
"""Thumbprints of keys whose private halves are printed, and where."""


def is_listed(session: Session, thumbprint: bytes) -> bool:
    """Whether a key, by its whole thumbprint, is known to be bad."""
    return thumbprint in PUBLISHED or session.get(BadKey, thumbprint) is not None
