"""The host side of birthkey: what verifies, registers, stores and answers boards."""
