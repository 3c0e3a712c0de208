include("$(MPY_DIR)/extmod/asyncio")
include("../../firmware/manifest.py")
module("board.py")
