"""Runs on MicroPython: cuts the power at every program and erase operation of flash.

Real littlefs on a block device in RAM. Each operation is cut three ways: before it did
anything, half-way through its bytes, and right after it. Then the board is started again
from what the flash holds. Prints one JSON object a scenario; a broken promise raises.
"""

import json

import vfs

from birthkey.command import Commands
from birthkey.crypto.entropy import Source, urandom
from birthkey.enrolment import Enrolment
from birthkey.erasure import erase
from birthkey.identity import MAGIC, Identity
from birthkey.keystore import Keystore, Twins, mount
from birthkey.outbox import OutboxFull, Spool

BLOCKS, BLOCK_SIZE = 26, 4096
TEARS = (0.0, 0.5, 1.0)
PATH = "/cut"
STATE = PATH + "/birthkey.id"
SERVER_IDS = [bytes(16)]
SOURCES = (Source("urandom", urandom, 4),)


class PowerCut(Exception):
    pass


class Flash:
    def __init__(self, image, cut_at=None, tear=0.0):
        self.image = bytearray(image)
        self.operations = 0
        self._cut_at = cut_at
        self._tear = tear
        self._dead = False

    def readblocks(self, block, buffer, offset=0):
        if self._dead:
            return -5
        start = block * BLOCK_SIZE + offset
        buffer[:] = self.image[start : start + len(buffer)]
        return 0

    def writeblocks(self, block, buffer, offset=None):
        if offset is None:
            self._change(block * BLOCK_SIZE, b"\xff" * BLOCK_SIZE)
            offset = 0
        return self._change(block * BLOCK_SIZE + offset, buffer)

    def ioctl(self, operation, argument):
        if operation == 4:
            return BLOCKS
        if operation == 5:
            return BLOCK_SIZE
        if operation == 6:
            return self._change(argument * BLOCK_SIZE, b"\xff" * BLOCK_SIZE)
        return 0

    def _change(self, start, content):
        if self._dead:
            return -5  # an exception would be printed when a file of dead flash is collected
        size = len(content)
        if self.operations == self._cut_at:
            self._dead = True
            size = int(size * self._tear)
        self.image[start : start + size] = bytes(content)[:size]
        self.operations += 1
        if self._dead:
            raise PowerCut
        return 0


BLANK = b"\xff" * (BLOCKS * BLOCK_SIZE)


def powered(flash, work):
    """What `work()` gives with the flash mounted; None when the power was cut."""
    try:
        mount(flash, PATH)
        return work()
    except (PowerCut, OSError):
        return None
    except Exception:
        # A keystore may put the failure of dead flash in words of its own.
        if flash.operations != flash._cut_at and not flash._dead:
            raise
        return None
    finally:
        try:
            vfs.umount(PATH)
        except OSError:
            pass


def start():
    identity = Identity(Keystore(STATE), SOURCES)
    return identity.public, identity.boot


class Scenario:
    """Cuts work at each of its operations, and keeps count of what came of it."""

    def __init__(self, name):
        self._name = name
        self._operations = 0
        self._outcomes = {}

    def cut_everywhere(self, image, work, check):
        """`check(result, image)` names an outcome; gives the image of the work done in peace."""
        whole = Flash(image)
        promise(powered(whole, work) is not None, "it works at all")
        for cut_at in range(whole.operations):
            for tear in TEARS:
                flash = Flash(image, cut_at, tear)
                result = powered(flash, work)
                try:
                    outcome = check(result, flash.image)
                except Exception as error:
                    where = (self._name, cut_at, tear, error)
                    raise ValueError("%s, operation %d cut at %s: %r" % where)
                self._outcomes[outcome] = self._outcomes.get(outcome, 0) + 1
        self._operations += whole.operations
        return whole.image

    def report(self):
        print(
            json.dumps(
                {
                    "scenario": self._name,
                    "operations": self._operations,
                    "cuts": self._operations * len(TEARS),
                    "outcomes": self._outcomes,
                }
            )
        )


def promise(kept, what):
    if not kept:
        raise ValueError("broken: " + what)


def restart(image, work=start):
    result = powered(Flash(image), work)
    promise(result is not None, "the board starts")
    return result


def restart_image(image, work):
    """The flash after work done in peace."""
    flash = Flash(image)
    promise(powered(flash, work) is not None, "it works at all")
    return flash.image


def first_start():
    """Whether there is a key already, then what `start` gives."""
    key = Twins(Keystore(STATE, MAGIC)).read("key", 96)
    return (key is not None,) + start()


def check_first_boot(result, image):
    flash = Flash(image)
    born, public, boot = powered(flash, first_start)
    promise(boot >= 1, "boots start at 1")
    if result:
        promise(result[0] == public and boot > result[1], "identity and boot outlive the cut")
    again, later = restart(flash.image)
    promise(again == public and later == boot + 1, "one identity from then on")
    return "no key yet" if not born else "the key was born"


def later_boot(public, boot):
    def check(result, image):
        found, next_boot = restart(image)
        promise(found == public, "one identity")
        promise(next_boot > (result[1] if result else boot), "the boot number never comes twice")
        promise(next_boot <= boot + 2, "no more than one boot number is lost")
        return "a boot number skipped" if next_boot == boot + 2 else "next boot number"

    return check


def open_spool(boot=9, capacity=20000):
    return Spool(boot, capacity, Keystore(STATE), SERVER_IDS)


def queued():
    """The encoded readings on flash; the spool is left empty."""
    spool = open_spool()
    found = []
    while spool.oldest():
        found.append(spool.oldest().encoded)
        spool.remove(spool.oldest())
    promise(not spool.damaged, "no reading is damaged")
    return found


def append(number):
    """Work that queues a reading; short ones share a block with others, long ones do not."""

    def work():
        pad = bytes(2000 if number % 2 else 100)
        return open_spool(100 + number).append({"n": number, "pad": pad})

    return work


def remove():
    spool = open_spool()
    spool.remove(spool.oldest())
    return True


def check_append(before):
    def check(result, image):
        found = restart(image, queued)
        promise(found[: len(before)] == before, "what was queued stays queued, in order")
        taken = len(found) > len(before)
        promise(taken or not result, "what was accepted stays")
        return "reading kept" if taken else "reading not taken"

    return check


def check_remove(before):
    def check(result, image):
        found = restart(image, queued)
        promise(found in (before, before[1:]), "only the answered reading goes")
        promise(found == before[1:] or not result, "an answered reading is gone")
        return "reading still queued" if found == before else "reading gone"

    return check


def enrol():
    Enrolment(Keystore(STATE), SERVER_IDS).accepted()
    return True


def check_enrolled(public):
    def check(result, image):
        def needed():
            return start() + (Enrolment(Keystore(STATE), SERVER_IDS).needed,)

        found, _, need = restart(image, needed)
        promise(found == public, "one identity")
        promise(not (result and need), "an accepted enrolment is remembered")
        return "enrols again" if need else "enrolled"

    return check


def forget():
    erase(STATE)
    return True


def found_after_erasure():
    """Public key, boot number, whether it has to enrol, how many readings wait."""
    public, boot = start()
    enrolment = Enrolment(Keystore(STATE), SERVER_IDS)
    return public, boot, enrolment.needed, len(open_spool(boot))


def check_erased(public, boot):
    def check(result, image):
        flash = Flash(image)
        found, now, needed, waiting = powered(flash, found_after_erasure)
        if found == public:
            promise(not result, "what is erased is gone")
            promise(now == boot + 1, "until it is gone, the identity is whole")
            promise(powered(flash, forget), "an interrupted erasure is repeated")
            found, now, needed, waiting = powered(flash, found_after_erasure)
            promise(found != public, "and the identity gone then")
            outcome = "still who it was"
        else:
            outcome = "another device"
        promise(needed and not waiting and now == 1, "nothing is left of who it was")
        promise(powered(flash, start) == (found, 2), "one identity from then on")
        return outcome

    return check


def check_reborn(public):
    def check(result, image):
        outcome = check_first_boot(result, image)
        promise(restart(image)[0] != public, "the erased identity does not come back")
        return outcome

    return check


done = []  # what the board did since it was switched on; no power cut takes that back


def obey(number):
    """Work that carries out command `number`, the results of which differ in size."""

    def work():
        done.clear()
        commands = Commands(Keystore(STATE), SERVER_IDS)
        commands.take(number, {"do": number})
        return commands.obey(handler)

    def handler(body):
        done.append(body["do"])
        return "x" * (40 * number)

    return work


def check_command(number):
    def check(result, image):
        acts = list(done)
        flash = Flash(image)
        again = powered(flash, obey(number))
        promise(again is not None, "the board takes the command that the server sends again")
        acts += done
        promise(acts in ([], [number]), "at most once")
        told, came = again
        promise(told == number, "the server hears of it")
        unknown = isinstance(came, list)
        promise(unknown or came == "x" * (40 * number), "no result is torn")
        promise(unknown or acts, "no result of what was not done")
        later = powered(flash, obey(number + 1))
        promise(later[0] == number + 1 and done == [number + 1], "the next command is done")
        if not acts:
            return "begun, and not done"
        return "done, and the result is lost" if unknown else "done, and the result is known"

    return check


def overfill():
    """Queue readings until the spool refuses, with a limit far above what flash holds."""
    spool = open_spool(200, 1 << 30)
    count = 0
    try:
        while True:
            spool.append({"n": count, "pad": bytes(1000)})
            count += 1
    except OutboxFull:
        return count


def fill_up():
    """A flash that is full of readings: the board still starts, and none of them is lost."""
    flash = Flash(BLANK)
    public, boot = powered(flash, start)
    accepted = powered(flash, overfill)
    promise(accepted > 0, "readings fit")
    for later in range(boot + 1, boot + 41):
        promise(powered(flash, start) == (public, later), "a board with full flash starts")
    told, came = powered(flash, obey(1))
    promise(told == 1 and came == "x" * 40 and done == [1], "a full flash takes a command")
    for later in range(boot + 41, boot + 61):
        promise(powered(flash, start) == (public, later), "and the board starts after it")
    promise(len(restart(flash.image, queued)) == accepted, "every accepted reading is kept")
    print(json.dumps({"scenario": "flash full", "readings": accepted, "boots": 60}))


def main():
    scenario = Scenario("first boot")
    image = scenario.cut_everywhere(BLANK, start, check_first_boot)
    scenario.report()
    public, boot = restart(image)
    # The log of littlefs fills up on the way, so that some of these boots erase blocks.
    scenario = Scenario("60 later boots")
    for boot in range(1, 61):
        image = scenario.cut_everywhere(image, start, later_boot(public, boot))
    scenario.report()
    scenario = Scenario("enrolment accepted")
    image = scenario.cut_everywhere(image, enrol, check_enrolled(public))
    scenario.report()
    used = restart_image(image, append(0))
    used = restart_image(used, obey(1))
    scenario = Scenario("identity erased")
    erased = scenario.cut_everywhere(used, forget, check_erased(public, 61))
    scenario.report()
    scenario = Scenario("first boot after it")
    scenario.cut_everywhere(erased, start, check_reborn(public))
    scenario.report()
    scenario = Scenario("12 commands")
    told = image
    for number in range(1, 13):
        told = scenario.cut_everywhere(told, obey(number), check_command(number))
    scenario.report()
    scenario = Scenario("8 readings spooled")
    for number in range(8):
        before = restart(image, queued)
        image = scenario.cut_everywhere(image, append(number), check_append(before))
    scenario.report()
    scenario = Scenario("8 readings acknowledged")
    for _ in range(8):
        before = restart(image, queued)
        image = scenario.cut_everywhere(image, remove, check_remove(before))
    scenario.report()
    fill_up()


main()
