"""The bench: makes the board's identity, and proves over a cable that the board holds its key.

`birthkey factory` calls it. The proof is an ordinary enrol message, sealed to a key that the
caller made for it alone: what the board signs names that key's server and no other, so it is of no
use anywhere else.
"""

from birthkey import __version__, cose, message
from birthkey._port import ticks_ms
from birthkey.enrolment import Enrolment
from birthkey.identity import Identity
from birthkey.keystore import Keystore
from birthkey.session import Session


def enrol(board, server_key):
    """(whether the key was made now, enrol frame) for the server of `server_key`, x || y.

    `board` is the board's module. As every start does, it takes a boot number.
    """
    board.mount()
    store = Keystore(board.STATE)
    identity = Identity(store, board.ENTROPY, board.UNIQUE_ID)
    enrolment = Enrolment(store, [cose.thumbprint(server_key)[:16]])
    body = enrolment.body(identity.public, board.NAME, __version__, None)
    counter = identity.boot << 32
    encoded = message.encode(message.ENROL, counter, body)
    frame = Session(identity, [server_key]).seal(counter, encoded, ticks_ms())
    return identity.born, frame
