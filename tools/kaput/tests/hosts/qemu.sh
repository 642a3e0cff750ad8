#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# What a host has for QEMU. With KVM and vfio-ap it is the same emulation, which is given the queues of the mediated
# device. A libvirt's monitor goes through a relay.
case " $* " in *" none,accel=kvm "*)
    echo '{"return": {"model": {"name": "z14.2-base", "props": {"vx": true}}}, "id": "answer"}'
    exit ;;
esac
left=$#
while [ "$left" -gt 0 ]; do
    word=$1; shift; left=$((left - 1))
    case $word in
    kvm) set -- "$@" tcg ;;
    -cpu) shift; left=$((left - 1)); set -- "$@" -cpu qemu ;;
    -device) case $1 in
        vfio-ap,*) config=${KAPUT_ROOT%/}.configurations/${1##*/}.json; shift; left=$((left - 1))
            case " $* " in *" -incoming "*)
                [ ! -e "${KAPUT_ROOT%/}.refuses" ] || echo "${config##*/}" | "$KAPUT_STORE" "$KAPUT_ROOT/sys/resume" ;;
            esac
            # What the other side has no such device for: it takes nothing of the stream from there on.
            [ ! -e "${KAPUT_ROOT%/}.refused" ] || set -- "$@" -device virtio-balloon-ccw
            [ ! -e "${KAPUT_ROOT%/}.blocked" ] ||
                set -- "$@" -blockdev "driver=vvfat,node-name=blocked,dir=${config%/*},rw=on"
            set -- "$@" -plugin "PLUGIN,config=$config,control=${KAPUT_ROOT%/}.$$" ;;
        *) set -- "$@" -device ;;
        esac ;;
    *) set -- "$@" "$word" ;;
    esac
done
case " $* " in *" socket,id=charmonitor,fd="*)
    monitor="$*"; monitor=${monitor#*socket,id=charmonitor,fd=}
    exec HELPER monitor QEMU "$@" <&"${monitor%%,*}" ;;
esac
exec QEMU "$@"
