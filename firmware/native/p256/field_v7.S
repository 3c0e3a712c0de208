// Arithmetic modulo P = 2^256 - 2^224 + 2^192 + 2^96 - 1 for Cortex-M3 (UMLAL) and, where UMAAL
// is defined, Cortex-M4 and up. field.h says what each function does.
//
// No branch, no address and no count here depends on a number: mask out, never jump over.
// The words of P, lowest first, are -1 -1 -1 0 0 0 1 -1.

#include "field.h"

#if !defined(__ARM_ARCH_6M__)

.syntax unified
#ifdef UMAAL
.cpu cortex-m4
#else
.cpu cortex-m3
#endif
.thumb
.text

// What registers are for in all functions: r4-r11 hold the eight words of the result.

.macro function name
.align 2
.global \name
.type \name, %function
\name:
.endm

// r4-r11 += P if mask is -1, += 0 if it is 0; the carry is set. Spoils one.
.macro add_p_masked mask, one
    and \one, \mask, #1
    adds r4, r4, \mask
    adcs r5, r5, \mask
    adcs r6, r6, \mask
    adcs r7, r7, #0
    adcs r8, r8, #0
    adcs r9, r9, #0
    adcs r10, r10, \one
    adcs r11, r11, \mask
.endm

// r4-r11 with a ninth word, less than 2 P, becomes less than P. Spoils both.
.macro reduce_once ninth, one
    subs r4, r4, #0xffffffff
    sbcs r5, r5, #0xffffffff
    sbcs r6, r6, #0xffffffff
    sbcs r7, r7, #0
    sbcs r8, r8, #0
    sbcs r9, r9, #0
    sbcs r10, r10, #1
    sbcs r11, r11, #0xffffffff
    sbc \ninth, \ninth, #0              // -1 if P was too much: put it back
    add_p_masked \ninth, \one
.endm

// (carry, t) = t + carry + a * b, which always fits: carry is r12, zero is lr, a is r0.
.macro multiply_accumulate t, b
#ifdef UMAAL
    umaal \t, r12, r0, \b
#else
    adds \t, \t, r12
    adc r12, lr, #0
    umlal \t, r12, r0, \b
#endif
.endm

// One row of a product with Montgomery's reduction: t = (t + a[i] * b + m * P) / 2^32, where
// m = t0 makes the lowest word vanish because P = -1 modulo 2^32.
// t is t0-t7 and, above them, r2 (0 or 1). The word that vanishes makes place for the new t7, so
// that the next row names its registers one further round.
.macro row i, t0, t1, t2, t3, t4, t5, t6, t7
    ldr r0, [sp, #4 * \i]               // a[i]
    ldrd r1, r3, [sp, #32]              // b[0], b[1]
    mov r12, #0
    umlal \t0, r12, r0, r1
    multiply_accumulate \t1, r3
    ldrd r1, r3, [sp, #40]
    multiply_accumulate \t2, r1
    multiply_accumulate \t3, r3
    ldrd r1, r3, [sp, #48]
    multiply_accumulate \t4, r1
    multiply_accumulate \t5, r3
    ldrd r1, r3, [sp, #56]
    multiply_accumulate \t6, r1
    multiply_accumulate \t7, r3
    add r12, r12, r2                    // t8: no overflow, as a and b are less than P
    // m * P = m * (2^32 - 1) * 2^224 + m * 2^192 + m * 2^96 - m
    rsbs r1, \t0, #0                    // r3:r1 = m * (2^32 - 1)
    sbc r3, \t0, #0
    adds \t3, \t3, \t0
    adcs \t4, \t4, #0
    adcs \t5, \t5, #0
    adcs \t6, \t6, \t0
    adcs \t7, \t7, r1
    adcs \t0, r12, r3
    adc r2, lr, #0
.endm

// void p256_multiply(r, a, b): a * b / 2^256
function p256_multiply
    push {r0, r4-r11, lr}
    ldm r2, {r4-r11}
    push {r4-r11}                       // b at sp + 32
    ldm r1, {r4-r11}
    push {r4-r11}                       // a at sp
    mov lr, #0
    mov r2, #0
    mov r4, #0
    mov r5, #0
    mov r6, #0
    mov r7, #0
    mov r8, #0
    mov r9, #0
    mov r10, #0
    mov r11, #0
    row 0, r4, r5, r6, r7, r8, r9, r10, r11
    row 1, r5, r6, r7, r8, r9, r10, r11, r4
    row 2, r6, r7, r8, r9, r10, r11, r4, r5
    row 3, r7, r8, r9, r10, r11, r4, r5, r6
    row 4, r8, r9, r10, r11, r4, r5, r6, r7
    row 5, r9, r10, r11, r4, r5, r6, r7, r8
    row 6, r10, r11, r4, r5, r6, r7, r8, r9
    row 7, r11, r4, r5, r6, r7, r8, r9, r10
    reduce_once r2, r1
    add sp, sp, #64
    pop {r0}
    stm r0, {r4-r11}
    pop {r4-r11, pc}

// void p256_square(r, a): a * a / 2^256
function p256_square
    mov r2, r1
    b p256_multiply

// void p256_add(r, a, b)
function p256_add
    push {r4-r11, lr}
    ldm r1, {r4-r11}
    ldm r2!, {r1, r3, r12, lr}
    adds r4, r4, r1
    adcs r5, r5, r3
    adcs r6, r6, r12
    adcs r7, r7, lr
    ldm r2, {r1, r3, r12, lr}
    adcs r8, r8, r1
    adcs r9, r9, r3
    adcs r10, r10, r12
    adcs r11, r11, lr
    mov r1, #0
    adc r1, r1, #0
    reduce_once r1, r2
    stm r0, {r4-r11}
    pop {r4-r11, pc}

// void p256_subtract(r, a, b)
function p256_subtract
    push {r4-r11, lr}
    ldm r1, {r4-r11}
    ldm r2!, {r1, r3, r12, lr}
    subs r4, r4, r1
    sbcs r5, r5, r3
    sbcs r6, r6, r12
    sbcs r7, r7, lr
    ldm r2, {r1, r3, r12, lr}
    sbcs r8, r8, r1
    sbcs r9, r9, r3
    sbcs r10, r10, r12
    sbcs r11, r11, lr
    sbc r1, r1, r1                      // -1 if it is less than zero
    add_p_masked r1, r2
    stm r0, {r4-r11}
    pop {r4-r11, pc}

// void p256_halve(r, a): a / 2, where an odd a is made even by adding P
function p256_halve
    push {r4-r11, lr}
    ldm r1, {r4-r11}
    and r1, r4, #1
    rsb r1, r1, #0
    add_p_masked r1, r2
    rrxs r11, r11                       // the carry goes in at the top
    rrxs r10, r10
    rrxs r9, r9
    rrxs r8, r8
    rrxs r7, r7
    rrxs r6, r6
    rrxs r5, r5
    rrx r4, r4
    stm r0, {r4-r11}
    pop {r4-r11, pc}

// void p256_pick(r, table, count, index): words are multiplied by 1 or 0 and added up, so that
// every entry is read whichever is wanted. An entry is sixteen words; each pass makes four.
function p256_pick
    push {r4-r11, lr}
.rept 4
    push {r1, r2, r3}
    mov r4, #0
    mov r5, #0
    mov r6, #0
    mov r7, #0
1:  ldm r1, {r8-r11}
    add r1, r1, #64
    clz lr, r3                          // 32 where r3 is zero, less for all others
    lsr lr, lr, #5
    mla r4, r8, lr, r4
    mla r5, r9, lr, r5
    mla r6, r10, lr, r6
    mla r7, r11, lr, r7
    sub r3, r3, #1
    subs r2, r2, #1
    bne 1b
    stm r0!, {r4-r7}
    pop {r1, r2, r3}
    add r1, r1, #16
.endr
    pop {r4-r11, pc}

#endif
