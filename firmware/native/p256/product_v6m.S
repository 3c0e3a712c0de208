// Products modulo P for Cortex-M0 and M0+, which multiply 32 bits by 32 to 32 bits. field.h says what
// each function does.

#include "field.h"

#if defined(__ARM_ARCH_6M__)

.syntax unified
.cpu cortex-m0
.thumb
.text

#include "field_v6m.h"

// (c2, c1, c0) += x * y, of words in memory at r4 + x and r4 + y. c0-c2 are r5-r7 in some order.
// Halves of 16 bits make four products: the high and the low ones are added as they are, the two
// in the middle shifted by 16 bits. Neither loads nor muls nor movs of a number touch the carry.
.macro multiply_accumulate c0, c1, c2, x, y
    ldrh r0, [r4, #\x]                  // low half of x
    ldrh r1, [r4, #\y]                  // low half of y
    ldrh r2, [r4, #\x + 2]              // high half of x
    ldrh r3, [r4, #\y + 2]              // high half of y
    muls r1, r0                         // low * low
    muls r0, r3                         // low * high
    muls r3, r2                         // high * high
    adds \c0, r1
    ldrh r1, [r4, #\y]
    muls r2, r1                         // high * low
    adcs \c1, r3
    movs r3, #0
    adcs \c2, r3
    adds r0, r2
    adcs r3, r3
    lsls r3, #16
    lsrs r1, r0, #16
    orrs r1, r3
    lsls r0, #16
    movs r3, #0
    adds \c0, r0
    adcs \c1, r1
    adcs \c2, r3
.endm

// Store the lowest word of a column's sum; its register is the highest of the next column's.
.macro column_done c0, column
    str \c0, [r4, #32 + 4 * \column]
    movs \c0, #0
.endm

.macro no_columns_yet
    movs r5, #0
    movs r6, #0
    movs r7, #0
.endm

// Eight words at r4 + 32 = four words at r4 * four words at r4 + 16: column after column, as on
// paper. Keeps r4.
multiply_4_words:
    no_columns_yet
    multiply_accumulate r5, r6, r7, 0, 16
    column_done r5, 0
    multiply_accumulate r6, r7, r5, 0, 20
    multiply_accumulate r6, r7, r5, 4, 16
    column_done r6, 1
    multiply_accumulate r7, r5, r6, 0, 24
    multiply_accumulate r7, r5, r6, 4, 20
    multiply_accumulate r7, r5, r6, 8, 16
    column_done r7, 2
    multiply_accumulate r5, r6, r7, 0, 28
    multiply_accumulate r5, r6, r7, 4, 24
    multiply_accumulate r5, r6, r7, 8, 20
    multiply_accumulate r5, r6, r7, 12, 16
    column_done r5, 3
    multiply_accumulate r6, r7, r5, 4, 28
    multiply_accumulate r6, r7, r5, 8, 24
    multiply_accumulate r6, r7, r5, 12, 20
    column_done r6, 4
    multiply_accumulate r7, r5, r6, 8, 28
    multiply_accumulate r7, r5, r6, 12, 24
    column_done r7, 5
    multiply_accumulate r5, r6, r7, 12, 28
    str r5, [r4, #32 + 4 * 6]
    str r6, [r4, #32 + 4 * 7]
    bx lr

// r5 and the words i and i + 1 of the product += the square of the word i / 2 at r4. r5 is a
// carry, and becomes the next one.
.macro add_square i
    ldrh r0, [r4, #2 * \i]
    ldrh r1, [r4, #2 * \i + 2]
    mov r2, r0
    muls r2, r1                         // low * high, which counts twice
    muls r0, r0
    muls r1, r1
    lsrs r3, r2, #15
    lsls r2, #17
    adds r0, r2
    adcs r1, r3
    adds r0, r5
    movs r5, #0
    adcs r1, r5
    ldr r2, [r4, #32 + 4 * \i]
    ldr r3, [r4, #36 + 4 * \i]
    adds r0, r2
    adcs r1, r3
    adcs r5, r5
    str r0, [r4, #32 + 4 * \i]
    str r1, [r4, #36 + 4 * \i]
.endm

// Eight words at r4 + 32 = the square of four words at r4: products of different words, doubled,
// and the squares of words. Keeps r4.
square_4_words:
    no_columns_yet
    str r5, [r4, #32]
    multiply_accumulate r5, r6, r7, 0, 4
    column_done r5, 1
    multiply_accumulate r6, r7, r5, 0, 8
    column_done r6, 2
    multiply_accumulate r7, r5, r6, 0, 12
    multiply_accumulate r7, r5, r6, 4, 8
    column_done r7, 3
    multiply_accumulate r5, r6, r7, 4, 12
    column_done r5, 4
    multiply_accumulate r6, r7, r5, 8, 12
    // r7:r6 are the words 5 and 6.
    mov r0, r4
    adds r0, #36
    ldmia r0!, {r1, r2, r3, r5}
    subs r0, #16
    adds r1, r1
    adcs r2, r2
    adcs r3, r3
    adcs r5, r5
    adcs r6, r6
    adcs r7, r7
    stmia r0!, {r1, r2, r3, r5, r6, r7}
    movs r1, #0
    adcs r1, r1
    str r1, [r0]
    movs r5, #0
    add_square 0
    add_square 2
    add_square 4
    add_square 6
    bx lr

// Karatsuba's way to multiply a and b of eight words with three products of four words: with
// a = a0 + 2^128 a1, the words in the middle are
//     a0 b1 + a1 b0 = a0 b0 + a1 b1 + (a0 - a1) (b1 - b0)
// What is where on the stack, in bytes. A product lies 32 above its factors, so a1 * b1 has to be
// made before a0 * b0.
.equ A0, 0
.equ B0, 16
.equ PRODUCT, 32                        // sixteen words, t[0] to t[15]
.equ A1, 32
.equ B1, 48
.equ DIFFERENCES, 96                    // |a0 - a1| and |b1 - b0|
.equ MIDDLE, 128                        // their product
.equ SPACE, 160
.equ MIDDLE_SUM, 0                      // eight words
.equ CARRIES, 0                         // two words

// Four words at sp + to = |x - y|; r0 = -1 if x < y, else 0.
.macro difference x, y, to
    add r1, sp, #\x
    ldmia r1!, {r4-r7}
    add r1, sp, #\y
    ldmia r1!, {r0, r2, r3}
    subs r4, r0
    sbcs r5, r2
    sbcs r6, r3
    ldr r0, [r1]
    sbcs r7, r0
    sbcs r0, r0
    eors r4, r0
    eors r5, r0
    eors r6, r0
    eors r7, r0
    subs r4, r0
    sbcs r5, r0
    sbcs r6, r0
    sbcs r7, r0
    add r1, sp, #\to
    stmia r1!, {r4-r7}
.endm

// Two words at r0, then r0 += 8; the carry comes in and goes out.
.macro add_two_words from
    ldmia \from!, {r3, r4}
    ldr r5, [r0]
    ldr r6, [r0, #4]
    adcs r5, r3
    adcs r6, r4
    stmia r0!, {r5, r6}
.endm

// t[to] += register + carry
.macro add_word register, to
    ldr r7, [sp, #PRODUCT + 4 * (\to)]
    adcs r7, \register
    str r7, [sp, #PRODUCT + 4 * (\to)]
.endm

// Montgomery's reduction, three words at once: t += m * P * 2^(32 i), where m is t[i] to t[i + 2]
// and these three vanish, since P = -1 modulo 2^96. P + 1 = 2^96 + 2^192 (2^64 - 2^32 + 1).
// r0 = what is to be carried into t[i + 11].
.macro vanish i
    ldr r0, [sp, #PRODUCT + 4 * \i]
    ldr r1, [sp, #PRODUCT + 4 * \i + 4]
    ldr r2, [sp, #PRODUCT + 4 * \i + 8]
    // r6:r5:r4:r3:r0 = m * (2^64 - 2^32 + 1)
    subs r3, r1, r0
    mov r4, r2
    sbcs r4, r1
    movs r5, #0
    sbcs r5, r2
    sbcs r6, r6
    adds r4, r0
    adcs r5, r1
    adcs r6, r2
    movs r7, #0
    adds r7, #0                         // no carry
    add_word r0, \i + 3
    add_word r1, \i + 4
    add_word r2, \i + 5
    add_word r0, \i + 6
    add_word r3, \i + 7
    add_word r4, \i + 8
    add_word r5, \i + 9
    add_word r6, \i + 10
    movs r0, #0
    adcs r0, r0
.endm

// void p256_multiply(r, a, b): a * b / 2^256
function p256_multiply
    push {r0, r4-r7, lr}
    sub sp, #SPACE
    mov r7, sp
    ldmia r1!, {r3-r6}
    stmia r7!, {r3-r6}
    ldmia r2!, {r3-r6}
    stmia r7!, {r3-r6}
    ldmia r1!, {r3-r6}
    stmia r7!, {r3-r6}
    ldmia r2!, {r3-r6}
    stmia r7!, {r3-r6}
    difference A0, A1, DIFFERENCES
    mov r12, r0
    difference B1, B0, DIFFERENCES + 16
    mov r1, r12
    eors r0, r1
    mov r12, r0                         // -1 if the product of the differences is negative
    add r4, sp, #A1
    bl multiply_4_words
    mov r4, sp
    bl multiply_4_words
    add r4, sp, #DIFFERENCES
    bl multiply_4_words
finish_product:
    // MIDDLE_SUM = a0 * b0 + a1 * b1, with a ninth word in r7
    add r0, sp, #PRODUCT
    add r1, sp, #PRODUCT + 32
    add r2, sp, #MIDDLE_SUM
    movs r7, #0
    adds r7, #0                         // no carry
.rept 4
    ldmia r0!, {r3, r4}
    ldmia r1!, {r5, r6}
    adcs r3, r5
    adcs r4, r6
    stmia r2!, {r3, r4}
.endr
    adcs r7, r7
    // + or - the product of the differences
    add r0, sp, #MIDDLE_SUM
    add r2, sp, #MIDDLE
    mov r1, r12
    lsrs r3, r1, #1                     // the carry is set to subtract
.rept 4
    ldmia r2!, {r3, r4}
    eors r3, r1
    eors r4, r1
    ldr r5, [r0]
    ldr r6, [r0, #4]
    adcs r5, r3
    adcs r6, r4
    stmia r0!, {r5, r6}
.endr
    adcs r7, r1
    // t[4] and up += that
    add r0, sp, #PRODUCT + 16
    add r2, sp, #MIDDLE_SUM
    adds r7, #0                         // no carry
.rept 4
    add_two_words r2
.endr
    mov r1, r7
    movs r2, #0
    add_word r1, 12
    add_word r2, 13
    add_word r2, 14
    add_word r2, 15
    vanish 0
    str r0, [sp, #CARRIES]
    vanish 3
    str r0, [sp, #CARRIES + 4]
    // The last two words, in the same way; here the carries of above come in.
    ldr r0, [sp, #PRODUCT + 4 * 6]
    ldr r1, [sp, #PRODUCT + 4 * 7]
    ldr r2, [sp, #CARRIES]
    subs r3, r1, r0
    movs r4, #0
    sbcs r4, r1
    sbcs r5, r5
    ldr r6, [sp, #CARRIES + 4]
    lsrs r6, #1
    adcs r4, r0
    adcs r5, r1
    movs r6, #0
    adds r6, #0                         // no carry
    add_word r0, 9
    add_word r1, 10
    add_word r2, 11
    add_word r0, 12
    add_word r3, 13
    add_word r4, 14
    add_word r5, 15
    movs r2, #0
    adcs r2, r2
    ldr r0, [sp, #SPACE]
    add r1, sp, #PRODUCT + 32
    reduce_once
    add sp, #SPACE + 4
    pop {r4-r7, pc}

// void p256_square(r, a): a * a / 2^256
function p256_square
    push {r0, r4-r7, lr}
    sub sp, #SPACE
    ldmia r1!, {r4-r7}
    add r2, sp, #A0
    stmia r2!, {r4-r7}
    ldmia r1!, {r4-r7}
    add r2, sp, #A1
    stmia r2!, {r4-r7}
    difference A0, A1, DIFFERENCES
    add r4, sp, #A1
    bl square_4_words
    mov r4, sp
    bl square_4_words
    add r4, sp, #DIFFERENCES
    bl square_4_words
    movs r0, #0
    mvns r0, r0
    mov r12, r0                         // (a0 - a1) (a1 - a0) is never positive
    b finish_product

#endif
