"""The cryptography that a board needs, in plain MicroPython."""
