from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from OpenSSL import SSL

from birthkey_host.server.certificate import Certificate, CertificateError, CertificateFile, read
from birthkey_host.server.tls import ClientCertificates, make_context
from certificates import Issued, authority, issue, p256, p384, rsa2048
from tcp_clients import run
from tls_clients import CA, SERVER, V1_3, client_context, serving_tls

OTHER_CA = authority("another authority")
BETWEEN = authority("between", issuer=OTHER_CA)
CHAINED = issue(BETWEEN)
ONLY_P256 = "boards do ECDHE-ECDSA on that curve only"
MAKE = "`birthkey ca issue NAME` makes one"

contexts = partial(make_context, clients=ClientCertificates.NONE)


def encrypted(issued: Issued) -> bytes:
    how = serialization.BestAvailableEncryption(b"secret")
    form = serialization.PrivateFormat.PKCS8
    return issued.key.private_bytes(serialization.Encoding.PEM, form, how)


def as_openssl_writes_it(key: ec.EllipticCurvePrivateKey) -> bytes:
    """What `openssl ecparam -name prime256v1 -genkey` puts into a file."""
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    return parameters + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


class TestRead:
    def test_key_certificate_and_chain(self, tmp_path: Path) -> None:
        found = read(CHAINED.save(tmp_path / "tls.pem"))
        assert found.key.private_numbers() == CHAINED.key.private_numbers()  # type: ignore[union-attr]
        assert found.chain == (CHAINED.certificate, BETWEEN.certificate)

    @pytest.mark.parametrize(
        "data",
        [
            SERVER.certificate_pem + SERVER.key_pem,
            SERVER.pem + CA.certificate_pem,
            b"localhost, 2026\n" + SERVER.pem + b"\n",
            SERVER.pem.replace(b"\n", b"\r\n"),
        ],
        ids=["key last", "with the root", "words in between", "Windows"],
    )
    def test_other_ways_to_write_it(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "tls.pem").write_bytes(data)
        assert read(tmp_path / "tls.pem").chain[0] == SERVER.certificate

    def test_key_as_openssl_writes_it(self, tmp_path: Path) -> None:
        key = p256()
        issued = issue(CA, key=key)
        (tmp_path / "tls.pem").write_bytes(as_openssl_writes_it(key) + issued.certificate_pem)
        assert read(tmp_path / "tls.pem").chain == (issued.certificate,)

    @pytest.mark.parametrize(
        ("data", "sentence"),
        [
            (b"", "{} holds no private key in PEM; it needs the key, the certificate and its"
             f" chain, and {MAKE}"),
            (b"nothing of the kind", "{} holds no private key in PEM; it needs the key, the"
             f" certificate and its chain, and {MAKE}"),
            (SERVER.certificate_pem, "{} holds no private key in PEM; it needs the key, the"
             f" certificate and its chain, and {MAKE}"),
            (encrypted(SERVER) + SERVER.certificate_pem,
             "the key in {} is encrypted, and there is nobody to ask for its password; put it"
             " there without one"),
            (SERVER.key_pem, "{} holds no certificate that can be read; " + MAKE),
            (SERVER.pem[:-100], "{} holds no certificate that can be read; " + MAKE),
            (issue(CA, key=rsa2048()).pem,
             f"{{}} holds a key that is not on P-256: {ONLY_P256}; {MAKE}"),
            (issue(CA, key=p384()).pem,
             f"{{}} holds a key that is not on P-256: {ONLY_P256}; {MAKE}"),
            (issue(CA, key=ed25519.Ed25519PrivateKey.generate()).pem,
             f"{{}} holds a key that is not on P-256: {ONLY_P256}; {MAKE}"),
            (SERVER.key_pem + CHAINED.certificate_pem,
             f"{{}} begins with a certificate that is not that of the key in it; {MAKE}"),
            (CHAINED.key_pem + CHAINED.chain_pem + CHAINED.certificate_pem,
             f"{{}} begins with a certificate that is not that of the key in it; {MAKE}"),
            (CHAINED.key_pem + CHAINED.certificate_pem + CA.certificate_pem,
             f"{{}} holds certificates of which one did not issue the one before it; {MAKE}"),
            (issue(authority(key=rsa2048())).pem,
             f"{{}} holds a certificate that is not signed with ECDSA, as boards need it; {MAKE}"),
            (issue(authority(issuer=OTHER_CA, key=p384())).pem,
             f"{{}} holds a certificate whose key is not on P-256: {ONLY_P256}; {MAKE}"),
        ],
        ids=["empty", "junk", "no key", "encrypted", "no certificate", "cut", "RSA", "P-384",
             "Ed25519", "another's certificate", "chain upside down", "another chain",
             "signed with RSA", "chain on P-384"],
    )  # fmt: skip
    def test_what_boards_could_not_use(self, tmp_path: Path, data: bytes, sentence: str) -> None:
        path = tmp_path / "tls.pem"
        path.write_bytes(data)
        with pytest.raises(CertificateError) as caught:
            read(path)
        assert str(caught.value) == sentence.format(path)


class TestAtStart:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(CertificateError) as caught:
            CertificateFile(tmp_path / "tls.pem", contexts)
        assert str(caught.value) == (
            f"there is no {tmp_path}/tls.pem; `birthkey ca init` and `birthkey ca issue NAME` make"
            " it, and --certificate FILE says where another one is"
        )

    def test_unreadable(self, tmp_path: Path) -> None:
        with pytest.raises(CertificateError) as caught:
            CertificateFile(tmp_path, contexts)
        assert str(caught.value) == f"cannot read {tmp_path}: Is a directory"

    def test_unfit_for_openssl(self, tmp_path: Path) -> None:
        def fail(certificate: Certificate) -> SSL.Context:
            raise SSL.Error([("SSL routines", "", "ca md too weak")])

        with pytest.raises(CertificateError, match=r"OpenSSL cannot use .*: .*ca md too weak"):
            CertificateFile(SERVER.save(tmp_path / "tls.pem"), fail)

    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
    def test_key_that_everyone_can_read(
        self, tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = SERVER.save(tmp_path / "tls.pem")
        path.chmod(mode)
        CertificateFile(path, contexts)
        warning = f"everyone on this computer may read {path}: chmod 600 {path}"
        assert caplog.messages == ([warning] if mode == 0o644 else [])

    def test_key_that_everyone_can_write(self, tmp_path: Path) -> None:
        path = SERVER.save(tmp_path / "tls.pem")
        path.chmod(0o666)
        with pytest.raises(CertificateError) as caught:
            CertificateFile(path, contexts)
        assert str(caught.value) == (
            f"everyone on this computer may write {path}: chmod o-w {path}"
        )


class TestChange:
    def test_what_everyone_can_write_is_not_taken(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = SERVER.save(tmp_path / "tls.pem")
        file = CertificateFile(path, contexts)
        former = file.context()
        CHAINED.save(path).chmod(0o666)
        assert file.context() is former
        [line] = caplog.messages
        assert line.startswith("keeps the former TLS certificate: everyone on this computer may ")

    def test_new_file_is_for_new_connections(self, tmp_path: Path) -> None:
        async def change() -> None:
            path = SERVER.save(tmp_path / "tls.pem")
            async with serving_tls(lambda frame, source: frame, path=path) as network:
                former = await network.secure(client_context(trust=CA))
                CHAINED.save(path)
                other = await network.secure(client_context(trust=OTHER_CA))
                assert other.tls.getpeercert(binary_form=True) == CHAINED.der
                assert network.lines == [f"took the new TLS certificate in {path}"]
                newer = await network.secure(client_context(V1_3, trust=OTHER_CA))
                for client in (former, other, newer):
                    assert await client.ask(b"one") == b"one"
                assert len(network.lines) == 1

        run(change())

    @pytest.mark.parametrize(
        ("data", "sentence"),
        [
            (b"half a", "{} holds no private key in PEM; it needs the key, the certificate and its"
             f" chain, and {MAKE}"),
            (issue(CA, key=rsa2048()).pem,
             f"{{}} holds a key that is not on P-256: {ONLY_P256}; {MAKE}"),
            (None, "there is no {}; `birthkey ca init` and `birthkey ca issue NAME` make it, and"
             " --certificate FILE says where another one is"),
        ],
        ids=["broken", "RSA", "missing"],
    )  # fmt: skip
    def test_bad_file_is_logged_once_and_the_former_kept(
        self, tmp_path: Path, data: bytes | None, sentence: str
    ) -> None:
        async def change() -> None:
            path = SERVER.save(tmp_path / "tls.pem")
            async with serving_tls(lambda frame, source: frame, path=path) as network:
                if data is None:
                    path.unlink()
                else:
                    path.write_bytes(data)
                for _ in range(3):
                    client = await network.secure(client_context(trust=CA))
                    assert await client.ask(b"one") == b"one"
                kept = "keeps the former TLS certificate: " + sentence.format(path)
                assert network.lines == [kept]
                CHAINED.save(path)
                await network.secure(client_context(trust=OTHER_CA))
                assert network.lines == [kept, f"took the new TLS certificate in {path}"]

        run(change())

    @pytest.mark.parametrize("changed", ["inode", "time", "size"])
    def test_one_of_inode_time_and_size_is_enough(self, tmp_path: Path, changed: str) -> None:
        path = SERVER.save(tmp_path / "tls.pem")
        file = CertificateFile(path, contexts)
        first = file.context()
        assert file.context() is first
        status = path.stat()
        if changed == "inode":
            path.rename(tmp_path / "former")
        path.write_bytes(SERVER.pem + b"\n" * (changed == "size"))
        later = int(changed == "time")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + later))
        assert file.context() is not first
