#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# What this host's QEMU says of its device vfio-ap: its version, each option of the device, and `state` if a state of
# the device goes over with a migration. Nothing without a QEMU. No guest is started.
qemu() {
    for program in qemu-system-s390x /usr/libexec/qemu-kvm; do
        command -v "$program" > /dev/null 2>&1 || continue
        { "$program" -version; "$program" -device vfio-ap,help; } < /dev/null 2> /dev/null |
            sed -n -e 1p -e 's/^ *\([^ =]*\)=.*/option \1/p'
        "$program" -machine none -display none -dump-vmstate /dev/stdout < /dev/null 2> /dev/null |
            sed -n '/^  "vfio-ap": {/,/^  }/s/^ *"Fields".*/state/p' | head -n 1
        return
    done
}
