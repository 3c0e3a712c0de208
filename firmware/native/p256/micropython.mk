# The native back end of birthkey.crypto.p256, for ports with a Makefile: as it is for
# USER_C_MODULES=firmware/native, or included with P256_DIR set by a board that has more.

P256_DIR ?= $(USERMOD_DIR)

SRC_USERMOD_C += $(P256_DIR)/module.c
SRC_USERMOD_LIB_C += $(addprefix $(P256_DIR)/, constants.c curve.c inverse.c scalar.c words.c)
ifeq ($(MICROPY_PY_SSL)$(MICROPY_SSL_MBEDTLS),11)
SRC_USERMOD_LIB_C += $(P256_DIR)/mbedtls.c
LDFLAGS_USERMOD += -Wl,--wrap=mbedtls_ecp_mul_restartable -Wl,--wrap=mbedtls_ecp_muladd_restartable
endif
SRC_USERMOD_LIB_ASM += $(addprefix $(P256_DIR)/, field_v6m.S field_v7.S product_v6m.S)
