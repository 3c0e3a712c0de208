// Arithmetic modulo P without products for Cortex-M0 and M0+. field.h says what each function does.

#include "field.h"

#if defined(__ARM_ARCH_6M__)

.syntax unified
.cpu cortex-m0
.thumb
.text

#include "field_v6m.h"

// Eight words at r0 = eight words at r1 + P if r6 is -1, + 0 if it is 0; the carry is set.
.macro add_p_masked
    lsrs r7, r6, #31
    mov r12, r7
    movs r7, #0
    ldmia r1!, {r2-r5}
    adds r2, r6
    adcs r3, r6
    adcs r4, r6
    adcs r5, r7
    stmia r0!, {r2-r5}
    ldmia r1!, {r2-r5}
    adcs r2, r7
    adcs r3, r7
    mov r7, r12
    adcs r4, r7
    adcs r5, r6
    stmia r0!, {r2-r5}
.endm

// void p256_add(r, a, b)
function p256_add
    push {r4-r7, lr}
    movs r7, #0
    adds r7, #0                         // no carry
.rept 4
    ldmia r1!, {r3, r4}
    ldmia r2!, {r5, r6}
    adcs r3, r5
    adcs r4, r6
    stmia r0!, {r3, r4}
.endr
    mov r2, r7
    adcs r2, r2
    subs r0, #32
    mov r1, r0
    reduce_once
    pop {r4-r7, pc}

// void p256_subtract(r, a, b)
function p256_subtract
    push {r4-r7, lr}
    cmp r0, r0                          // no borrow
.rept 4
    ldmia r1!, {r3, r4}
    ldmia r2!, {r5, r6}
    sbcs r3, r5
    sbcs r4, r6
    stmia r0!, {r3, r4}
.endr
    sbcs r6, r6                         // -1 if it is less than zero
    subs r0, #32
    mov r1, r0
    add_p_masked
    pop {r4-r7, pc}

// void p256_halve(r, a): a / 2, where an odd a is made even by adding P
function p256_halve
    push {r4-r7, lr}
    ldr r6, [r1]
    lsls r6, #31
    asrs r6, #31
    add_p_masked
    movs r6, #0
    adcs r6, r6
    subs r0, #32
.irp offset, 28, 24, 20, 16, 12, 8, 4, 0
    ldr r1, [r0, #\offset]
    lsls r2, r6, #31
    mov r6, r1
    lsrs r1, #1
    orrs r1, r2
    str r1, [r0, #\offset]
.endr
    pop {r4-r7, pc}

// void p256_pick(r, table, count, index): words are masked and added up, so that every entry is
// read whichever is wanted. An entry is sixteen words; each pass makes four.
function p256_pick
    push {r4-r7, lr}
    mov r4, r8
    mov r5, r9
    mov r6, r10
    mov r7, r11
    push {r4-r7}
    mov r12, r0
.rept 4
    push {r1, r2, r3}
    movs r4, #0
    mov r8, r4
    mov r9, r4
    mov r10, r4
    mov r11, r4
1:  ldmia r1!, {r4-r7}
    adds r1, #48
    negs r0, r3
    sbcs r0, r0                         // 0 where r3 is zero, else -1
    bics r4, r0
    bics r5, r0
    bics r6, r0
    bics r7, r0
    add r8, r4
    add r9, r5
    add r10, r6
    add r11, r7
    subs r3, #1
    subs r2, #1
    bne 1b
    mov r4, r8
    mov r5, r9
    mov r6, r10
    mov r7, r11
    mov r0, r12
    stmia r0!, {r4-r7}
    mov r12, r0
    pop {r1, r2, r3}
    adds r1, #16
.endr
    pop {r4-r7}
    mov r8, r4
    mov r9, r5
    mov r10, r6
    mov r11, r7
    pop {r4-r7, pc}

#endif
