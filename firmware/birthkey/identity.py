"""The birth key and the boot number: who this board is, and which life of it this is.

Both are kept twice (keystore.Twins), under a magic of their own, by which they are also found
where damage has hidden them from the file system:

    key     private key, 32 bytes || public key, 64 bytes
    boot    boot number, 4 bytes || device_id, 16 bytes || HMAC of the boot number, 16 bytes
    erased  1 || device_id, 16 bytes, of each identity that a person has erased
"""

from birthkey import cose
from birthkey._port import const
from birthkey.crypto import entropy, hkdf, p256
from birthkey.keystore import Keystore, KeystoreError, Twins

MAGIC = b"BKI1"
KEY = "key"
BOOT = "boot"
ERASED = "erased"
KEY_SIZE = const(96)
BOOT_SIZE = const(36)
MOST_ERASED = const(1601)
_LAST_BOOT = const(0xFFFFFFFF)


class Identity:
    """`public` x || y, `device_id` 16 bytes, `boot` this start's number, `born` if just made."""

    def __init__(self, store, sources, personalisation=b""):
        """Take the next boot number; on the first boot make the birth key.

        KeystoreError when flash is damaged or full, EntropyError when the board's
        noise is not good enough to make a key from.
        """
        own = Keystore(store.path, MAGIC)
        twins = Twins(own)
        erased = erased_ids(twins)
        keys = [
            None if key is None or id_of(key) in erased else key
            for key in twins.copies(KEY, KEY_SIZE)
        ]
        record = keys[0] or keys[1]
        if keys[1] not in (None, record):
            raise KeystoreError("flash holds two different birth keys: it is damaged", True)
        self.born = record is None
        if self.born:
            _check_unborn(store, own, twins, erased)
            record = _generate(sources, personalisation)
        self._private = record[:32]
        self.public = record[32:]
        self.device_id = id_of(record)
        last = 0 if self.born else _last_boot(own, twins, record)
        if last >= _LAST_BOOT:
            raise KeystoreError(
                "all boot numbers are used up: this board needs a new birth key", True
            )
        # The key comes first: without any boot number it has never sealed anything, whatever
        # power cuts came in between.
        twins.write(KEY, record, keys)
        # Nothing may be sealed before both copies of the number are safe on flash: a boot
        # number that served twice would be two conversations under one.
        self.boot = last + 1
        twins.write(BOOT, boot_record(record, self.boot))

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


def id_of(key):
    """The device_id of a key record."""
    return cose.thumbprint(key[32:])[:16]


def boot_record(key, number):
    """What flash keeps of a boot number: nobody without the key can make one."""
    raw = number.to_bytes(4, "big")
    return raw + id_of(key) + hkdf.hmac(key[:32], b"birthkey/1 boot" + raw)[:16]


def erased_ids(twins):
    """The ids of identities that were erased on purpose: what flash holds of them is no loss."""
    found = set()
    for note in twins.copies(ERASED, 17, MOST_ERASED):
        if note is not None:
            found.update(note[at : at + 16] for at in range(1, len(note), 16))
    return found


def _last_boot(own, twins, key):
    """The highest boot number of this key that flash holds anywhere, 0 for none."""
    last = 0
    for payload in twins.copies(BOOT, BOOT_SIZE):
        if payload is not None:
            last = _later(payload, key, last)
    # Damage to the folders above can make littlefs find both copies where they were long
    # ago, and what it wrote since is then only below it.
    for payload in own.raw(BOOT_SIZE, last == 0):
        last = _later(payload, key, last)
    return last


def _later(payload, key, last):
    number = int.from_bytes(payload[:4], "big")
    # Readings can hold bytes that look like a record, but not the HMAC of one.
    return number if number > last and payload == boot_record(key, number) else last


def _check_unborn(store, own, twins, erased):
    """KeystoreError when flash shows that this board has, or had, an identity."""
    lost = [payload for payload in twins.copies(BOOT, BOOT_SIZE) if payload is not None]
    if all(payload[4:20] in erased for payload in lost):
        lost = own.raw(BOOT_SIZE, True)
    for payload in lost:
        if payload[4:20] not in erased:
            raise KeystoreError(
                "the birth key is gone, but this board has booted before: flash is damaged. It is "
                "kept as it is: a damaged board is repaired or replaced, or told to forget who "
                "it was, never given a new identity in silence",
                True,
            )
    if not erased and store.read("enrolled", 16) is not None:
        raise KeystoreError(
            "the birth key is gone, but this board has enrolled before: flash is damaged", True
        )


def _generate(sources, personalisation):
    """A key record: private key, 32 bytes, and public key, 64 bytes."""
    while True:
        private = entropy.collect(sources, personalisation)
        try:
            return private + p256.public_key(private)
        except ValueError:
            # 0 or not below n, once in 2^32: the next candidate (FIPS 186-5 A.2.2).
            pass
