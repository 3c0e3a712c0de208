"""What the CA's and the servers' certificates say, and what names they are for."""

from __future__ import annotations

import ipaddress
import re
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from birthkey_host import certificates
from birthkey_host.certificates import (
    BEGINS,
    ENDS,
    PASSWORD,
    SIZE,
    CaError,
    Certified,
    allowed_by,
    certificate_pem,
    fingerprint,
    is_from_birthkey,
    is_signed_by,
    make_authority,
    make_server,
    names_of,
    parse_allowed,
    parse_names,
    why_refused,
)
from certificates import authority as another_authority
from certificates import issue as issue_elsewhere
from openssl import openssl, verifies

NAMES = ["iot.example.com", "*.pumps.example.com", "192.0.2.7", "2001:db8::7"]
DATES = {
    "1970": 0,
    "now": int(time.time()),
    "after 2038": 1 << 31,
    "9999": 253402300798,  # to openssl, the last second is one too late
}


@pytest.fixture(scope="module")
def authority() -> Certified:
    return make_authority()


@pytest.fixture(scope="module")
def server(authority: Certified) -> Certified:
    return make_server(authority, parse_names(NAMES))


@pytest.fixture
def pems(tmp_path: Path, authority: Certified, server: Certified) -> tuple[Path, Path]:
    """The CA's certificate and the server's, in files."""
    paths = (tmp_path / "ca.pem", tmp_path / "server.pem")
    for path, each in zip(paths, (authority, server), strict=True):
        path.write_bytes(certificate_pem(each.certificate))
    return paths


def text(path: Path) -> str:
    """What openssl says of it, in one line."""
    said = openssl("x509", "-in", path, "-noout", "-text", "-nameopt", "RFC2253").stdout
    return " ".join(said.split())


class TestAuthority:
    def test_facts(self, pems: tuple[Path, Path], authority: Certified) -> None:
        key = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        digest = key.value.digest
        name = f"CN=birthkey CA {digest[:8].hex()}"
        facts = text(pems[0])
        for fact in (
            "Version: 3 (0x2)",
            f"Issuer: {name} ",
            f"Subject: {name} ",
            "Not Before: Jan 1 00:00:00 1970 GMT Not After : Dec 31 23:59:59 9999 GMT",
            "Public Key Algorithm: id-ecPublicKey Public-Key: (256 bit)",
            "NIST CURVE: P-256",
            "X509v3 Basic Constraints: critical CA:TRUE, pathlen:0",
            "X509v3 Key Usage: critical Certificate Sign X509v3",
            "X509v3 Extended Key Usage: TLS Web Server Authentication ",
            f"X509v3 Subject Key Identifier: {digest.hex(':').upper()}",
        ):
            assert fact in facts
        assert facts.count("X509v3") == 5  # the heading, and these four
        assert facts.count("Signature Algorithm: ecdsa-with-SHA256") == 2

    def test_two_are_never_called_the_same(self, authority: Certified) -> None:
        assert make_authority().certificate.subject != authority.certificate.subject

    def test_openssl_takes_it(self, pems: tuple[Path, Path]) -> None:
        assert openssl("verify", "-x509_strict", "-CAfile", pems[0], pems[0]).returncode == 0

    @pytest.mark.parametrize("purpose", ["sslclient", "smimesign"])
    def test_what_it_signs_is_for_no_other_purpose(
        self, authority: Certified, tmp_path: Path, purpose: str
    ) -> None:
        """Not even when the certificate below it does not say what it is for."""
        paths = tmp_path / "ca.pem", tmp_path / "other.pem"
        paths[0].write_bytes(certificate_pem(authority.certificate))
        key = ec.generate_private_key(ec.SECP256R1())
        above = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
        subject = authority.certificate.subject
        made = (
            certificates._builder(certificates._name("a.example"), subject, key)
            .add_extension(certificates._usage(digital_signature=True), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("a.example")]), critical=False)
            .add_extension(above, critical=False)
            .sign(authority.key, hashes.SHA256())
        )
        paths[1].write_bytes(certificate_pem(made))
        assert verifies(*paths)
        assert not verifies(*paths, "-purpose", purpose)


class TestNameConstraints:
    @pytest.mark.parametrize(
        ("limits", "name", "good"),
        [
            (["example.com"], "example.com", True),
            (["example.com"], "iot.example.com", True),
            (["example.com"], "a.b.example.com", True),
            (["example.com"], "*.example.com", True),
            (["example.com"], "*.pumps.example.com", True),
            (["example.com"], "notexample.com", False),
            (["example.com"], "*.com.example", False),
            (["example.com"], "example.com.evil.example", False),
            (["example.com"], "192.0.2.7", False),
            (["example.com"], "2001:db8::7", False),
            (["192.0.2.0/24"], "192.0.2.7", True),
            (["192.0.2.7"], "192.0.2.7", True),
            (["192.0.2.7"], "192.0.2.8", False),
            (["192.0.2.0/24"], "192.0.3.7", False),
            (["192.0.2.0/24"], "2001:db8::7", False),
            (["192.0.2.0/24"], "iot.example.com", False),
            (["2001:db8::/32"], "2001:db8::7", True),
            (["2001:db8::/32"], "2001:db9::7", False),
            (["2001:db8::/32"], "192.0.2.7", False),
            (["example.com", "192.0.2.0/24", "example.org"], "a.example.org", True),
            (["example.com", "192.0.2.0/24", "example.org"], "192.0.2.1", True),
            (["example.com", "192.0.2.0/24", "example.org"], "example.net", False),
            (["localhost"], "localhost", True),
        ],
        ids=str,
    )
    def test_names(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        limits: list[str],
        name: str,
        good: bool,
    ) -> None:
        """What we sign, and what OpenSSL and another implementation make of it if we do."""
        ca, names = make_authority(parse_allowed(limits)), parse_names([name])
        if good:
            make_server(ca, names)
        else:
            sentence = r"^this CA signs for .* is not: `birthkey ca rotate --name NAME` goes to one"
            with pytest.raises(CaError, match=sentence):
                make_server(ca, names)
        monkeypatch.setattr(certificates, "_is_within", lambda name, limits: True)
        made = make_server(ca, names).certificate
        paths = tmp_path / "ca.pem", tmp_path / "server.pem"
        paths[0].write_bytes(certificate_pem(ca.certificate))
        paths[1].write_bytes(certificate_pem(made))
        assert verifies(*paths) is good
        assert (why_refused(made, [ca.certificate]) is None) is good

    def test_one_name_outside_is_enough(self) -> None:
        ca = make_authority(parse_allowed(["example.com"]))
        with pytest.raises(CaError, match=r"^this CA signs for example.com .*, and a.example is"):
            make_server(ca, parse_names(["iot.example.com", "a.example"]))

    def test_is_read_back(self) -> None:
        limits = parse_allowed(["Example.com", "192.0.2.0/24", "::1", "example.COM"])
        assert [str(each.value) for each in limits] == ["example.com", "192.0.2.0/24", "::1/128"]
        assert allowed_by(make_authority(limits).certificate) == limits
        assert allowed_by(make_authority().certificate) == []

    def test_is_not_critical(self) -> None:
        """mbed TLS refuses critical extensions that it does not know: `test_ca_tls` shows it."""
        made = make_authority(parse_allowed(["example.com"])).certificate
        assert not made.extensions.get_extension_for_class(x509.NameConstraints).critical

    @pytest.mark.parametrize(
        ("typed", "sentence"),
        [
            ("192.0.2.7/24", "is no network: give its first address"),
            ("example.com/24", "is no network"),
            ("*.example.com", r"leave out the \*\., names below a domain are allowed anyway"),
            (".example.com", "is no host name"),
            ("", "is no host name"),
            ("192.0.2", "looks like an IP address"),
        ],
    )
    def test_what_is_none(self, typed: str, sentence: str) -> None:
        with pytest.raises(CaError, match=sentence):
            parse_allowed(["good.example", typed])


class TestServer:
    def test_facts(self, pems: tuple[Path, Path], authority: Certified, server: Certified) -> None:
        ours = server.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        above = x509.SubjectKeyIdentifier.from_public_key(authority.key.public_key())
        facts = text(pems[1])
        for fact in (
            "Version: 3 (0x2)",
            f"Issuer: {authority.certificate.subject.rfc4514_string()}",
            "Subject: CN=iot.example.com",
            "Not Before: Jan 1 00:00:00 1970 GMT Not After : Dec 31 23:59:59 9999 GMT",
            "Public Key Algorithm: id-ecPublicKey Public-Key: (256 bit)",
            "NIST CURVE: P-256",
            "X509v3 Basic Constraints: critical CA:FALSE",
            "X509v3 Key Usage: critical Digital Signature X509v3",
            "X509v3 Extended Key Usage: TLS Web Server Authentication X509v3",
            "X509v3 Subject Alternative Name: DNS:iot.example.com, DNS:*.pumps.example.com,"
            " IP Address:192.0.2.7, IP Address:2001:DB8:0:0:0:0:0:7",
            f"X509v3 Subject Key Identifier: {ours.value.digest.hex(':').upper()}",
            f"X509v3 Authority Key Identifier: {above.digest.hex(':').upper()}",
        ):
            assert fact in facts
        assert facts.count("X509v3") == 7
        assert facts.count("Signature Algorithm: ecdsa-with-SHA256") == 2

    def test_serial_numbers(self, authority: Certified) -> None:
        made = [make_server(authority, parse_names(["a"])).certificate for _ in range(20)]
        numbers = [each.serial_number for each in made]
        assert len(set(numbers)) == 20
        assert all(0 < number < 1 << 159 for number in numbers)  # 20 octets, and positive
        assert max(numbers) > 1 << 150  # they use them

    def test_a_new_key_each_time(self, authority: Certified, server: Certified) -> None:
        again = make_server(authority, parse_names(NAMES))
        assert again.certificate.public_key() != server.certificate.public_key()
        assert again.key.public_key() == again.certificate.public_key()

    @pytest.mark.parametrize("date", DATES)
    def test_openssl_believes_it_at_any_date(self, pems: tuple[Path, Path], date: str) -> None:
        at = ("-attime", DATES[date])
        assert verifies(*pems, *at, "-verify_hostname", "iot.example.com")
        assert verifies(*pems, *at, "-verify_hostname", "p7.pumps.example.com")
        assert verifies(*pems, *at, "-verify_ip", "192.0.2.7")
        assert verifies(*pems, *at, "-verify_ip", "2001:db8::7")

    def test_openssl_would_see_a_date_outside(self, tmp_path: Path) -> None:
        ca = another_authority()  # from 2024 on
        paths = ca.save_certificate(tmp_path / "ca.pem"), tmp_path / "server.pem"
        issue_elsewhere(ca, "a").save_certificate(paths[1])
        assert not verifies(*paths, "-attime", 0)

    @pytest.mark.parametrize(
        "other",
        [
            ("-verify_hostname", "example.com"),
            ("-verify_hostname", "www.iot.example.com"),
            ("-verify_hostname", "a.b.pumps.example.com"),
            ("-verify_hostname", "pumps.example.com"),
            ("-verify_ip", "192.0.2.8"),
            ("-verify_ip", "2001:db8::8"),
        ],
        ids=lambda pair: pair[1],
    )
    def test_is_for_no_other_name(self, pems: tuple[Path, Path], other: tuple[str, str]) -> None:
        assert not verifies(*pems, *other)

    def test_is_believed_by_its_authority_alone(
        self, pems: tuple[Path, Path], tmp_path: Path, server: Certified
    ) -> None:
        stranger = make_authority().certificate
        other = tmp_path / "other.pem"
        other.write_bytes(certificate_pem(stranger))
        assert not verifies(other, pems[1])
        assert not is_signed_by(server.certificate, stranger)
        assert why_refused(server.certificate, [stranger])

    def test_another_implementation_of_rfc_5280_believes_it(
        self, authority: Certified, server: Certified
    ) -> None:
        policy = PolicyBuilder().store(Store([authority.certificate]))
        for at in (BEGINS, ENDS):
            for name in (x509.DNSName("iot.example.com"), x509.DNSName("p7.pumps.example.com")):
                chain = policy.time(at).build_server_verifier(name).verify(server.certificate, [])
                assert chain == [server.certificate, authority.certificate]
        other = policy.build_server_verifier(x509.DNSName("example.com"))
        with pytest.raises(VerificationError):
            other.verify(server.certificate, [])

    def test_cannot_sign_in_turn(self, tmp_path: Path, pems: tuple[Path, Path]) -> None:
        ca, server = pems
        thief = Certified(x509.load_pem_x509_certificate(server.read_bytes()), make_authority().key)
        path = tmp_path / "forged.pem"
        path.write_bytes(certificate_pem(make_server(thief, parse_names(["a"])).certificate))
        assert not verifies(ca, path, "-untrusted", server)

    def test_name_longer_than_a_common_name(self, authority: Certified, tmp_path: Path) -> None:
        name = ".".join(["a" * 62] * 4)
        made = make_server(authority, parse_names([name])).certificate
        assert made.subject.rfc4514_string() == "CN=birthkey server"
        paths = tmp_path / "ca.pem", tmp_path / "server.pem"
        paths[0].write_bytes(certificate_pem(authority.certificate))
        paths[1].write_bytes(certificate_pem(made))
        assert verifies(*paths, "-verify_hostname", name)
        for start, common in ((-64, f"CN={name[-64:]}"), (-65, "CN=birthkey server")):
            made = make_server(authority, parse_names([name[start:]])).certificate
            assert made.subject.rfc4514_string() == common

    def test_is_never_too_long_for_a_small_board(self, authority: Certified) -> None:
        some = [f"{'a' * 60}.{number:02}.example" for number in range(21)]
        made = make_server(authority, parse_names(some)).certificate
        assert SIZE * 0.9 < len(made.public_bytes(Encoding.DER)) <= SIZE
        with pytest.raises(CaError, match=r"has 2[0-9]{3} bytes, and small boards .* 2048"):
            make_server(authority, parse_names([*some, "b" * 60, "c" * 60]))


class TestPem:
    def test_key_after_certificate(self, server: Certified) -> None:
        pem = server.pem()
        assert re.findall(b"BEGIN (.*?)-", pem) == [b"CERTIFICATE", b"PRIVATE KEY"]
        key = load_pem_private_key(pem, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        assert key.private_numbers() == server.key.private_numbers()

    def test_openssl_opens_an_encrypted_key(self, authority: Certified, tmp_path: Path) -> None:
        path = tmp_path / "ca.pem"
        path.write_bytes(authority.pem(b"correct horse battery"))
        assert b"BEGIN ENCRYPTED PRIVATE KEY" in path.read_bytes()
        opens = ("pkey", "-in", path, "-noout", "-passin", "env:BIRTHKEY_TEST_PASSWORD")
        assert openssl(*opens, password="correct horse battery").returncode == 0
        assert openssl(*opens, password="correct horse batterz").returncode != 0

    @pytest.mark.parametrize("size", [PASSWORD[0], PASSWORD[-1]])
    def test_shortest_and_longest_password(self, authority: Certified, size: int) -> None:
        assert load_pem_private_key(authority.pem(b"x" * size), b"x" * size)

    @pytest.mark.parametrize("size", [0, PASSWORD[0] - 1, PASSWORD[-1] + 1])
    def test_password_of_no_use(self, authority: Certified, size: int) -> None:
        with pytest.raises(CaError, match=f"has 12 to 1023 bytes, and this has {size}$"):
            authority.pem(b"x" * size)


class TestWhatCertificatesSay:
    def test_fingerprint_is_as_openssl_prints_it(
        self, pems: tuple[Path, Path], server: Certified
    ) -> None:
        said = openssl("x509", "-in", pems[1], "-noout", "-fingerprint", "-sha256").stdout
        assert said == f"sha256 Fingerprint={fingerprint(server.certificate)}\n"

    def test_names_and_issuer(self, server: Certified, authority: Certified) -> None:
        assert names_of(server.certificate) == parse_names(NAMES)
        assert is_from_birthkey(server.certificate)
        assert is_signed_by(server.certificate, authority.certificate)
        assert why_refused(server.certificate, [authority.certificate]) is None
        assert why_refused(authority.certificate, [authority.certificate]) == "it is for no name"

    def test_others(self) -> None:
        root = another_authority()
        other = issue_elsewhere(root, "a.example").certificate
        assert not is_from_birthkey(other)
        assert is_signed_by(other, root.certificate)
        assert why_refused(other, [make_authority().certificate])


class TestNames:
    @pytest.mark.parametrize(
        ("typed", "name"),
        [
            ("localhost", "localhost"),
            ("IoT.Example.COM", "iot.example.com"),
            ("1.example", "1.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("*.example.com", "*.example.com"),
            ("a-b.0-9", "a-b.0-9"),
            (f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 61}", None),
        ],
    )
    def test_dns_names(self, typed: str, name: str | None) -> None:
        assert parse_names([typed]) == [x509.DNSName(name or typed)]

    @pytest.mark.parametrize("typed", ["127.0.0.1", "192.0.2.255", "::1", "2001:DB8::a", "fe80::1"])
    def test_addresses(self, typed: str) -> None:
        assert parse_names([typed]) == [x509.IPAddress(ipaddress.ip_address(typed))]

    def test_each_once_in_the_order_typed(self) -> None:
        some = ["b.example", "::1", "B.example", "0::1", "a.example"]
        assert [str(name.value) for name in parse_names(some)] == ["b.example", "::1", "a.example"]

    def test_none(self) -> None:
        with pytest.raises(CaError, match="needs a name"):
            parse_names([])

    @pytest.mark.parametrize(
        ("typed", "sentence"),
        [
            ("", "is no host name"),
            (" ", "is no host name"),
            ("a b", "is no host name"),
            ("a\n", "is no host name"),
            ("a\0", "is no host name"),
            ("a_b.example", "is no host name"),
            ("-a.example", "is no host name"),
            ("a-.example", "is no host name"),
            ("a..example", "is no host name"),
            (".example", "is no host name"),
            ("a,b", "is no host name"),
            ("a" * 64, "is no host name"),
            (f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 62}", "is no host name"),
            ("bücher.example", "xn--"),
            ("a.example\u3002", "xn--"),
            ("a.example.", "leave out the dot"),
            ("*", "at least two labels"),
            ("*.example", "at least two labels"),
            ("*.", "leave out the dot"),
            ("*.*.example.com", "the whole leftmost label|is no host name"),
            ("a.*.example.com", "the whole leftmost label"),
            ("a*.example.com", "the whole leftmost label"),
            ("*a.example.com", "the whole leftmost label"),
            ("https://iot.example.com", "the name or address alone"),
            ("iot.example.com:7155", "the name or address alone"),
            ("iot.example.com/a", "the name or address alone"),
            ("[::1]", "the name or address alone"),
            ("ada@example.com", "the name or address alone"),
            ("2001:db8::7::1", "the name or address alone"),
            ("192.0.2.256", "looks like an IP address"),
            ("192.0.2", "looks like an IP address"),
            ("192.0.2.07", "looks like an IP address"),
            ("3221225991", "looks like an IP address"),
            ("*.192.0.2.7", "looks like an IP address"),
            ("192.0.2.0/24", "the name or address alone"),
            ("fe80::1%eth0", "has a zone"),
            ("0.0.0.0", "no board can connect"),
            ("::", "no board can connect"),
            ("224.0.0.1", "no board can connect"),
            ("ff02::1", "no board can connect"),
        ],
    )
    def test_what_is_none(self, typed: str, sentence: str) -> None:
        with pytest.raises(CaError, match=sentence) as caught:
            parse_names(["good.example", typed])
        assert len(str(caught.value)) < 300
