"""Runs first on a board with frozen birthkey: mounts its flash, or says why not.

It takes the place of upstream's file of this name, which formats a flash that it cannot read.
"""

import board
from birthkey.keystore import KeystoreError

try:
    board.mount()
except KeystoreError as error:
    print("flash is not mounted:", error)
