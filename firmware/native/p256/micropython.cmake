# The native back end of birthkey.crypto.p256, for ports with CMake.

add_library(usermod_birthkey_p256 INTERFACE)
foreach(name constants.c curve.c field_v6m.S field_v7.S inverse.c module.c product_v6m.S scalar.c words.c)
    target_sources(usermod_birthkey_p256 INTERFACE ${CMAKE_CURRENT_LIST_DIR}/${name})
endforeach()
if(MICROPY_SSL_MBEDTLS)
    target_sources(usermod_birthkey_p256 INTERFACE ${CMAKE_CURRENT_LIST_DIR}/mbedtls.c)
    foreach(name mbedtls_ecp_mul_restartable mbedtls_ecp_muladd_restartable)
        target_link_options(usermod_birthkey_p256 INTERFACE -Wl,--wrap=${name})
    endforeach()
endif()
target_link_libraries(usermod INTERFACE usermod_birthkey_p256)
