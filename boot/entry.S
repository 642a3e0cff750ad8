# SPDX-License-Identifier: MIT OR Apache-2.0
#
# From the first instruction to Rust. The boot loader starts the image at 0x10000 and writes the command line to 0x10480
# and parameters around 0x10400, over whatever is there: so this page holds one branch and zeros (the doubleword at
# 0x10430 must be zero: it is a maximum that limits the command line), and the code begins at 0x11000.
# Entered by one global_asm! in src/machine; names in braces are its operands.

        .section .ipl, "a"
        .long   0x00080000, 0x80000000 + 0x10000        # the short PSW: 31-bit addressing, kaput_entry

        .section .entry, "ax"
        .globl  kaput_entry
kaput_entry:
        brcl    15, start
        .org    kaput_entry + 0x1000

        .section .text.boot, "ax"
start:
        # z/Architecture and 64-bit addressing, whatever loader started the image. Where both hold nothing changes.
        lghi    %r0, 0
        lghi    %r1, 2
        sigp    %r1, %r0, 0x12          # SET ARCHITECTURE
        sam64

        # Zero what no file contents cover.
        larl    %r2, __bss_start
        larl    %r3, __bss_end
        sgr     %r3, %r2
        lghi    %r4, 0
        lghi    %r5, 0
0:      mvcle   %r2, %r4, 0
        brc     1, 0b

        # New PSWs: 64-bit supervisor state, everything masked off.
        llihl   %r0, 0x0001
        oilh    %r0, 0x8000
        .macro  new_psw location, entry
        larl    %r1, \entry
        stg     %r0, \location
        stg     %r1, \location + 8
        .endm
        new_psw {restart_new}, restart_entry
        new_psw {external_new}, external_entry
        new_psw {svc_new}, svc_entry
        new_psw {program_new}, program_entry
        new_psw {machine_check_new}, machine_check_entry
        new_psw {io_new}, io_entry

        larl    %r1, __trap_stack_top - 160
        stg     %r1, {trap_stack}

        # The stack grows down; a caller's frame of 160 bytes belongs to the function it calls.
        larl    %r15, __stack_top - 160
        lghi    %r11, 0
        brasl   %r14, kaput_main

        # Another CPU, by a restart interruption, with a prefix area of its own.
        .globl  secondary_entry
secondary_entry:
        lg      %r15, {restart_stack}
        lghi    %r11, 0
        brasl   %r14, kaput_secondary
