# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The six interruption entries: save the general registers, call Rust with the class on the CPU's trap stack, and if it
# returns go on where the old PSW says. One save area and one stack serve all classes of a CPU: every class is entered
# with the others masked off, and a program interruption inside a handler is never returned from.

        .macro  interruption entry, class, old_psw
\entry:
        stmg    %r0, %r15, {save_area}
        lg      %r15, {trap_stack}
        lghi    %r2, \class
        brasl   %r14, kaput_interruption
        lmg     %r0, %r15, {save_area}
        lpswe   \old_psw
        .endm

        .section .text.boot, "ax"
        interruption restart_entry, {restart}, {restart_old}
        interruption external_entry, {external}, {external_old}
        interruption svc_entry, {svc}, {svc_old}
        interruption program_entry, {program}, {program_old}
        interruption machine_check_entry, {machine_check}, {machine_check_old}
        interruption io_entry, {io}, {io_old}
