"""For boards without birthkey in their firmware: looks for the package in its own place first.

The folder of the identity, /birthkey, would else be taken for it.
"""

import sys

if "" in sys.path:
    sys.path.remove("")
    sys.path.append("")
