"""Runs on the board: power is cut in every operation of the flash, and nothing is lost by it."""

import model
import vfs
from internal_flash import Flash

from birthkey.keystore import Keystore, mount

KEY = bytes(range(96))
BOOTS = 8


def life(kept):
    """A board's first starts; `kept` gets what was confirmed."""
    mount(Flash(), "/s")
    store = Keystore("/s/birthkey.id")
    store.write("key", KEY)
    kept["key"] = True
    for boot in range(1, BOOTS):
        store.write("boot", boot.to_bytes(4, "big"))
        kept["boot"] = boot
        store.write("other%d" % (boot % 3), bytes(100 * boot))


def check(kept):
    mount(Flash(), "/s")
    store = Keystore("/s/birthkey.id")
    if "key" in kept:
        assert store.read("key", 96) == KEY, "the key is gone"
    confirmed = kept.get("boot", 0)
    record = store.read("boot", 4)
    found = int.from_bytes(record, "big") if record else 0
    assert found in (confirmed, confirmed + 1), "boot %d of %d" % (found, confirmed)
    store.write("boot", (99).to_bytes(4, "big"))  # and it goes on


def unmount():
    try:
        vfs.umount("/s")
    except OSError:
        pass


def cuts():
    """How many operations a whole life has; each was cut."""
    model.blank()
    life({})
    unmount()
    total = model.counted()
    for number in range(1, total + 1):
        model.blank()
        model.cut_after(number)
        kept = {}
        try:
            life(kept)
        except RuntimeError as error:
            assert str(error) == "cut", error
        unmount()
        check(kept)
        unmount()
    return total


def device():
    """The block device by itself."""
    model.blank()
    flash = Flash()
    assert flash.ioctl(4, 0) == 16 and flash.ioctl(5, 0) == 2048
    page = bytes(range(256)) * 8
    assert flash.writeblocks(3, page) == 0
    read = bytearray(2048)
    assert flash.readblocks(3, read) == 0 and read == page
    part = bytearray(16)
    assert flash.readblocks(3, part, 24) == 0 and part == page[24:40]
    assert flash.writeblocks(3, b"12345678", 8) < 0  # programmed already
    assert flash.ioctl(6, 3) == 0
    assert flash.writeblocks(3, b"12345678", 8) == 0
    assert flash.readblocks(3, part, 0) == 0 and part == b"\xff" * 8 + b"12345678"
    # Neither beyond the end nor between double words.
    assert flash.readblocks(16, part) < 0
    assert flash.readblocks(15, read, 8) < 0
    assert flash.readblocks(-1, part) < 0
    assert flash.writeblocks(16, page) < 0
    assert flash.writeblocks(2, b"1234", 0) < 0
    assert flash.writeblocks(2, b"12345678", 4) < 0
    assert flash.ioctl(6, 16) < 0
    return flash.area()[1]
