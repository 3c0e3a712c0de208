"""The rules of TLS and of its certificates, as `make mutations` takes them out."""

from __future__ import annotations

PORT = "firmware/birthkey/_port.py"
DEVICE = "firmware/birthkey/device.py"
BOARD = "firmware/birthkey/transport/tls.py"
SERVER = "host/birthkey_host/server/tls.py"
LISTENER = "host/birthkey_host/server/tcp.py"
PIPELINE = "host/birthkey_host/server/pipeline.py"
CA = "host/birthkey_host/ca.py"
CERTIFICATES = "host/birthkey_host/certificates.py"
KEY_FILES = "host/birthkey_host/key_files.py"
FILES = "host/birthkey_host/files.py"

REFUSED = "tests/emulated/test_tls_refused.py -k UNIX"
PARTS = "tests/firmware/transport/test_tls.py"
HANDSHAKES = "tests/host/server/test_tls_handshakes.py"
CLIENTS = "tests/host/server/test_client_certificates.py"
SENDERS = "tests/host/server/test_senders.py"

MUTATIONS = [
    # The board.
    (
        "TLS: the server's certificate is verified",
        BOARD,
        "tls.CERT_REQUIRED",
        "tls.CERT_NONE",
        REFUSED,
    ),
    (
        # MicroPython's `tls` insists on a name; this one is the good server's too.
        "TLS: the server's certificate is for the host that was asked for",
        BOARD,
        "server_hostname=host",
        'server_hostname="localhost"',
        REFUSED,
    ),
    (
        "TLS: the board takes forward secrecy and an AEAD, or nothing",
        BOARD,
        "        context.set_ciphers(_CIPHERS)\n",
        "",
        REFUSED,
    ),
    (
        "TLS: nothing is sent beside it",
        DEVICE,
        "            link = Tls(",
        "            Tls(",
        "tests/emulated/test_tls_device.py -k nothing and UNIX",
    ),
    (
        "TLS: the board gives up a handshake that does not end",
        BOARD,
        "        if not done:",
        "        if False:",
        PARTS,
    ),
    (
        # Two seconds more: for ever is longer than a test can wait.
        "TLS: whoever sends without end is not waited for",
        BOARD,
        "buffer, Timer(timeout_ms),",
        "buffer, Timer(timeout_ms + 2000),",
        PARTS,
    ),
    (
        "TLS: the birth key signs with birthkey's own nonces",
        BOARD,
        'if hasattr(context, "ecdsa_sign_callback"):',
        "if False:",
        PARTS,
    ),
    (
        "TLS: no client certificate where birthkey cannot sign",
        BOARD,
        "            elif not OS_RANDOM:",
        "            elif False:",
        PARTS,
    ),
    (
        "TLS: chips have no operating system that collects randomness",
        PORT,
        'OS_RANDOM = sys.platform in ("linux", "darwin")',
        "OS_RANDOM = True",
        "tests/firmware/test_port.py",
    ),
    # The server.
    (
        "TLS: none before 1.2",
        SERVER,
        "SSL.TLS1_2_VERSION",
        "SSL.TLS1_VERSION",
        HANDSHAKES,
    ),
    (
        "TLS: the server takes forward secrecy and an AEAD, or nothing",
        SERVER,
        "    context.set_cipher_list(_CIPHERS)\n",
        "",
        HANDSHAKES,
    ),
    (
        "TLS: keys are agreed on P-256",
        SERVER,
        "    context.set_tmp_ecdh(ec.SECP256R1())",
        "    pass",
        HANDSHAKES,
    ),
    (
        "TLS: no renegotiation",
        SERVER,
        "        | SSL.OP_NO_RENEGOTIATION\n",
        "",
        "tests/host/server/test_tls_openssl.py -k renegotiation",
    ),
    (
        "TLS: no session tickets",
        SERVER,
        "        | SSL.OP_NO_TICKET\n",
        "",
        "tests/host/server/test_tls.py -k resumed",
    ),
    (
        "TLS: no sessions are kept",
        SERVER,
        "    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)\n",
        "",
        "tests/host/server/test_tls_openssl.py -k session",
    ),
    (
        "TLS: a certificate is shown where it is required",
        SERVER,
        "SSL.VERIFY_FAIL_IF_NO_PEER_CERT if",
        "0 if",
        CLIENTS,
    ),
    (
        "TLS: a client certificate that no board makes is refused",
        SERVER,
        "    return client.fault is None\n",
        "    return True\n",
        CLIENTS,
    ),
    (
        "TLS: a client certificate has no issuer",
        SERVER,
        "            if depth:",
        "            if False:",
        CLIENTS,
    ),
    (
        "TLS: a client certificate is signed with its own key",
        SERVER,
        "        certificate.verify_directly_issued_by(certificate)\n",
        "        pass\n",
        CLIENTS,
    ),
    (
        "TLS: a client certificate's key is on P-256",
        SERVER,
        " or not isinstance(key.curve, ec.SECP256R1):",
        ":",
        CLIENTS,
    ),
    (
        "TLS: a client certificate names the device of its key",
        SERVER,
        "        return self._client.device_id\n",
        "        return None\n",
        CLIENTS,
    ),
    (
        "TLS: a handshake is no longer than a board makes it",
        SERVER,
        "            if came > _HANDSHAKE:",
        "            if False:",
        HANDSHAKES,
    ),
    (
        "TLS: a handshake has a deadline",
        LISTENER,
        "asyncio.timeout(limit)",
        "asyncio.timeout(None)",
        HANDSHAKES,
    ),
    (
        "TLS: a handshake that moves keeps its place",
        SERVER,
        "                moved()\n",
        "                pass\n",
        HANDSHAKES,
    ),
    (
        "TLS: a handshake that stands does not",
        SERVER,
        "            if state != (state := self._tls.get_state_string()):",
        "            if True:",
        HANDSHAKES,
    ),
    (
        "TLS: a certificate that cannot be read is refused with a sentence",
        SERVER,
        "        except Exception as fault:",
        "        except TypeError as fault:",
        CLIENTS,
    ),
    (
        "TLS: handshakes take turns with everything else",
        SERVER,
        "                await asyncio.sleep(0)\n",
        "",
        HANDSHAKES,
    ),
    (
        "TLS: handshakes that fail are charged",
        LISTENER,
        "            self._admission.charge(connection.origin, stream.cost, self._now())\n",
        "",
        HANDSHAKES,
    ),
    (
        "TLS: a connection that is cut is no end",
        SERVER,
        "if self._writer.is_closing() or not (data or self._record):",
        "if True:",
        "tests/host/server/test_tls.py -k cut",
    ),
    (
        "TLS: whoever has proven a birth key speaks for that device only",
        PIPELINE,
        "        if sender.device_id not in (None, outcome.device_id):",
        "        if False:",
        SENDERS,
    ),
    (
        "TLS: what came without it is refused where it is required",
        PIPELINE,
        "self._require_tls and not sender.tls:",
        "False:",
        SENDERS,
    ),
    # The CA.
    (
        "TLS: private keys are for their owner only",
        FILES,
        "mode: int = 0o600",
        "mode: int = 0o644",
        "tests/host/test_ca.py -k Modes",
    ),
    (
        "TLS: nobody else could read a private key at any moment",
        FILES,
        "os.O_EXCL, mode)",
        "os.O_EXCL, 0o666)",
        "tests/host/test_files.py",
    ),
    (
        "TLS: the CA's folder is for its owner only",
        FILES,
        "    os.mkdir(path, 0o700)",
        "    os.mkdir(path, 0o755)",
        "tests/host/test_files.py",
    ),
    (
        "TLS: a CA that others may use signs nothing",
        CA,
        "        if paths := self.open_to_others():",
        "        if paths := []:",
        "tests/host/test_ca.py -k Modes",
    ),
    (
        "TLS: a CA that appears meanwhile is not overwritten",
        CA,
        "                files.write(path, data, replace=False)",
        "                files.write(path, data)",
        "tests/host/test_ca.py -k Create",
    ),
    (
        "TLS: the bundle of a CA that is elsewhere is not overwritten",
        CA,
        "        if os.path.lexists(self.bundle):\n            raise",
        "        if False:\n            raise",
        "tests/host/test_ca.py -k Create",
    ),
    (
        "TLS: boards trust both CAs during a rotation",
        CA,
        "for each in self.roles().values())",
        "for each in [self.load(Role.CURRENT)])",
        "tests/host/test_ca.py -k Rotation",
    ),
    (
        "TLS: the previous CA stays as long as the server needs it",
        CA,
        "        if file is not None and is_signed_by(file.certificate, previous.certificate):",
        "        if False:",
        "tests/host/test_ca.py -k Rotation",
    ),
    (
        "TLS: the previous CA's key goes with it",
        CA,
        "            files.remove(previous.path)",
        "            pass",
        "tests/host/test_ca.py -k Rotation",
    ),
    (
        "TLS: what a CA has signed, its signature says",
        CERTIFICATES,
        "    except (ValueError, TypeError, InvalidSignature):\n        return False\n",
        "    except (ValueError, TypeError, InvalidSignature):\n        return True\n",
        "tests/host/test_certificates.py",
    ),
    (
        "TLS: a server's certificate signs no other",
        CERTIFICATES,
        "x509.BasicConstraints(ca=False, path_length=None)",
        "x509.BasicConstraints(ca=True, path_length=None)",
        "tests/host/test_certificates.py",
    ),
    (
        "TLS: a CA signs no other CA",
        CERTIFICATES,
        "path_length=0",
        "path_length=None",
        "tests/host/test_certificates.py",
    ),
    (
        "TLS: a server's key is new, and not the CA's",
        CERTIFICATES,
        "    key = ec.generate_private_key(ec.SECP256R1())\n    common",
        "    key = authority.key\n    common",
        "tests/host/test_certificates.py",
    ),
    (
        "TLS: a wildcard stands for one label of a domain",
        CERTIFICATES,
        "        if len(labels) < 2:",
        "        if False:",
        "tests/host/test_certificates.py",
    ),
    (
        "TLS: a CA's key with a password is encrypted",
        CERTIFICATES,
        "            encryption = serialization.BestAvailableEncryption(password)",
        "            pass",
        "tests/host/test_ca.py -k Create",
    ),
    (
        "TLS: no short password",
        CERTIFICATES,
        "            if len(password) not in PASSWORD:",
        "            if False:",
        "tests/host/test_certificates.py",
    ),
    (
        "TLS: a private key is that of its certificate",
        KEY_FILES,
        "        if key.public_key() != self.certificate.public_key():",
        "        if False:",
        "tests/host/test_key_files.py",
    ),
]
