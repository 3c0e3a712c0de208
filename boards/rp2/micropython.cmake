# What birthkey's RP2040 boards add to upstream's, with MICROPY_PY_SSL_ECDSA_SIGN_ALT in
# mpconfigboard.h: TLS lets Python sign, so that a client certificate's signatures are birthkey's
# own, deterministic ones and not mbed TLS's, which need randomness. (Ports with a Makefile have a
# switch for it.)

set(SIGN_ALT ${MICROPY_DIR}/extmod/mbedtls/mbedtls_alt.c)
set_source_files_properties(${SIGN_ALT} PROPERTIES
    COMPILE_DEFINITIONS MICROPY_PY_SSL_ECDSA_SIGN_ALT=1)

add_library(usermod_birthkey INTERFACE)
target_sources(usermod_birthkey INTERFACE ${SIGN_ALT} ${CMAKE_CURRENT_LIST_DIR}/stack.S)
target_link_options(usermod_birthkey INTERFACE -Wl,--wrap=mbedtls_ecdsa_write_signature)

# 12 KiB of stack and not 8: TLS with a client certificate takes more than 7, and mbed TLS looks at
# no limit. 11 KiB of it MicroPython knows of, and stops Python's calls 256 bytes before that. What
# they call then takes up to 148 bytes more, and interrupts have no stack of their own: the heap
# ends 1 KiB further down.
target_link_options(usermod_birthkey INTERFACE
    -Wl,--undefined=birthkey_stack -Wl,--defsym=birthkey_heap_end=__StackBottom-1024)
target_link_libraries(usermod INTERFACE usermod_birthkey)

include(${CMAKE_CURRENT_LIST_DIR}/../../firmware/native/p256/micropython.cmake)
