# All that a Pico has: its board.py serves both.
include("../RPI_PICO/manifest.py")
