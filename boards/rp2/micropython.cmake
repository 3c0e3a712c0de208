# What birthkey's RP2040 boards add to upstream's, with MICROPY_PY_SSL_ECDSA_SIGN_ALT in
# mpconfigboard.h: TLS lets Python sign, so that a client certificate's signatures are birthkey's
# own, deterministic ones and not mbed TLS's, which need randomness. (Ports with a Makefile have a
# switch for it.)

set(SIGN_ALT ${MICROPY_DIR}/extmod/mbedtls/mbedtls_alt.c)
set_source_files_properties(${SIGN_ALT} PROPERTIES
    COMPILE_DEFINITIONS MICROPY_PY_SSL_ECDSA_SIGN_ALT=1)

add_library(usermod_birthkey INTERFACE)
target_sources(usermod_birthkey INTERFACE ${SIGN_ALT})
target_link_options(usermod_birthkey INTERFACE -Wl,--wrap=mbedtls_ecdsa_write_signature)
target_link_libraries(usermod INTERFACE usermod_birthkey)

include(${CMAKE_CURRENT_LIST_DIR}/../../firmware/native/p256/micropython.cmake)
