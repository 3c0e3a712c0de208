"""The birth key and the boot number: who this board is, and which life of it this is."""

from birthkey import cose
from birthkey._port import const
from birthkey.crypto import entropy, hkdf, p256
from birthkey.keystore import KeystoreError

_KEY = "key"
_BOOT = "boot"
_LAST_BOOT = const(0xFFFFFFFF)


class Identity:
    """`public` x || y, `device_id` 16 bytes, `boot` this start's number, `born` if just made."""

    def __init__(self, store, sources, personalisation=b""):
        """Take the next boot number; on the first boot make the birth key.

        KeystoreError when flash is damaged or full, EntropyError when the board's
        noise is not good enough to make a key from.
        """
        boot = store.read(_BOOT, 4)
        record = store.read(_KEY, 96)
        self.born = record is None
        if record is None:
            if boot is not None and boot != b"\0\0\0\0":
                raise KeystoreError(
                    "the birth key is gone, but this board has booted before: flash is damaged"
                )
            # Boot record first: a power cut between the two leaves no key, so the next
            # start begins anew. The other order would leave a key that may not be used.
            store.write(_BOOT, b"\0\0\0\0")
            record = _generate(sources, personalisation)
            store.write(_KEY, record)
            boot = b"\0\0\0\0"
        elif boot is None:
            raise KeystoreError(
                "the boot record is gone, but the birth key is there: flash is damaged"
            )
        self._private = record[:32]
        self.public = record[32:]
        self.device_id = cose.thumbprint(self.public)[:16]
        self.boot = int.from_bytes(boot, "big") + 1
        if self.boot > _LAST_BOOT:
            raise KeystoreError("all boot numbers are used up: this board needs a new birth key")
        # Nothing may be sealed before this number is safe on flash: a boot number that
        # served twice would be two conversations under one.
        store.write(_BOOT, self.boot.to_bytes(4, "big"))

    def ephemeral_seed(self):
        """ikmE for this boot's HPKE key: fresh randomness, hedged with the birth key.

        A random generator that repeats itself still gives another seed in another
        boot, and one that an attacker knows gives him nothing without the key.
        """
        boot = self.boot.to_bytes(4, "big")
        return hkdf.hmac(self._private, b"birthkey/1 eph" + boot + entropy.urandom(32))

    def sign(self, message, external_aad):
        """A signed frame of this device over an encoded message."""
        return cose.signed_frame(self._private, self.device_id, message, external_aad)

    def certificate(self):
        """A self-signed certificate of this board and its key, both in DER, for TLS."""
        from birthkey.crypto import x509

        certificate = x509.self_signed(self._private, self.public, self.device_id)
        return certificate, x509.private_key(self._private, self.public)

    def sign_digest(self, digest):
        """A signature r || s over a digest of 32 bytes, for TLS."""
        return p256.sign(self._private, digest)


def _generate(sources, personalisation):
    """A key record: private key, 32 bytes, and public key, 64 bytes."""
    while True:
        private = entropy.collect(sources, personalisation)
        try:
            return private + p256.public_key(private)
        except ValueError:
            # 0 or not below n, once in 2^32: the next candidate (FIPS 186-5 A.2.2).
            pass
