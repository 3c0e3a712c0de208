"""What a board with frozen birthkey starts: main.py on its flash, or else our application.

MicroPython itself takes a frozen main.py and never looks for one on flash.
"""

import os

if "main.py" in os.listdir("/"):
    with open("/main.py") as _file:
        exec(_file.read())  # noqa: S102  as MicroPython does where none is frozen
else:
    import application

    application.main()
