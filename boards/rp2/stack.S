// What birthkey adds to the C stack of ports/rp2, 8 KiB: the linker script measures all sections of
// this name. What else it takes is in micropython.cmake.
    .section .stack.birthkey
    .global birthkey_stack
birthkey_stack:
    .space 3072
