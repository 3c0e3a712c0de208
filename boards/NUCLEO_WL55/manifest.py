# No asyncio: this chip is tight on flash.
include("../../firmware/manifest.py")
module("board.py")
