"""Makes a board forget who it is, because a person says so; `make flash ERASE_IDENTITY=1` does."""

from birthkey.identity import (
    BOOT,
    BOOT_SIZE,
    ERASED,
    KEY,
    KEY_SIZE,
    MAGIC,
    MOST_ERASED,
    erased_ids,
    id_of,
)
from birthkey.keystore import DamagedRecord, Keystore, Twins


def erase(path):
    """Erase the identity in the folder `path`, or what damage has left of one.

    A note stays of whom it was: what flash still holds of that identity below its file system
    must not keep the next one from being born. Until the note is written the board is who it
    was, and from then on it is nobody, also when power fails.
    """
    store = Keystore(path)
    own = Keystore(path, MAGIC)
    twins = Twins(own)
    ids = []

    def add(device_id):
        if device_id not in ids:
            ids.append(device_id)

    for name, size in ((KEY, KEY_SIZE), (BOOT, BOOT_SIZE)):
        for payload in _copies(twins, name, size):
            add(id_of(payload) if name == KEY else payload[4:20])
    for payload in own.raw(BOOT_SIZE, True):
        add(payload[4:20])
    try:
        for device_id in erased_ids(twins):
            add(device_id)
    except DamagedRecord:
        pass
    # Readings, commands and the server's consent first: the next identity must not find them.
    for keep in ((KEY, BOOT, ERASED), (ERASED,)):
        store.clear(keep, folder="copy/")
        store.clear(keep + ("copy",))
        if KEY in keep:
            twins.write(ERASED, b"\1" + b"".join(ids[: MOST_ERASED // 16]))


def _copies(twins, name, size):
    try:
        return [payload for payload in twins.copies(name, size) if payload is not None]
    except DamagedRecord:
        return []
