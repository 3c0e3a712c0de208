SRC_USERMOD_C += $(addprefix $(USERMOD_DIR)/, \
    clock.c \
    flash.c \
    main.c \
    random.c \
    semihosting.c \
    uart.c \
)
