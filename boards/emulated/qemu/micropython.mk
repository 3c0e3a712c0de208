SRC_USERMOD_C += $(addprefix $(USERMOD_DIR)/, \
    clock.c \
    flash.c \
    main.c \
    mbedtls_p256.c \
    random.c \
    semihosting.c \
    uart.c \
)

P256_DIR := $(BIRTHKEY)/firmware/native/p256
include $(P256_DIR)/micropython.mk
