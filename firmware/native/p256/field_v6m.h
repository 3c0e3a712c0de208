// What product_v6m.S and field_v6m.S have in common: macros for Cortex-M0 and M0+, which compute in
// r0-r7 only.
//
// No branch, no address and no count here depends on a number: mask out, never jump over.
// The words of P = 2^256 - 2^224 + 2^192 + 2^96 - 1, lowest first, are -1 -1 -1 0 0 0 1 -1.

.macro function name
.align 2
.global \name
.type \name, %function
\name:
.endm

// Eight words at r0 = eight words at r1 with a ninth in r2, less than 2 P, modulo P. The places
// may be the same.
.macro reduce_once
    mov r12, r2
    movs r6, #0
    mvns r7, r6
    ldmia r1!, {r2-r5}
    subs r2, r7
    sbcs r3, r7
    sbcs r4, r7
    sbcs r5, r6
    ldmia r1!, {r2-r5}
    sbcs r2, r6
    sbcs r3, r6
    movs r2, #1
    sbcs r4, r2
    sbcs r5, r7
    mov r2, r12
    sbcs r2, r6                         // -1 if P is too much
    subs r1, #32
    mvns r6, r2
    subtract_p_masked
.endm

// Eight words at r0 = eight words at r1 - P if r6 is -1, - 0 if it is 0.
.macro subtract_p_masked
    lsrs r7, r6, #31
    mov r12, r7
    movs r7, #0
    ldmia r1!, {r2-r5}
    subs r2, r6
    sbcs r3, r6
    sbcs r4, r6
    sbcs r5, r7
    stmia r0!, {r2-r5}
    ldmia r1!, {r2-r5}
    sbcs r2, r7
    sbcs r3, r7
    mov r7, r12
    sbcs r4, r7
    sbcs r5, r6
    stmia r0!, {r2-r5}
.endm
