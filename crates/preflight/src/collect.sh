# SPDX-License-Identifier: MIT OR Apache-2.0
# Prints what `kaput preflight` has to know of this host as one JSON snapshot. It reads files below /sys and /proc and
# writes none; of this host it asks QEMU too. Any POSIX shell will do, busybox's too; grep is needed, sed and head for
# QEMU, and sed and tr for files with odd characters.
#
#   sh collect.sh > host.json          this host
#   sh collect.sh /some/root           a folder that holds sys and proc
root=${1%/}
ap=$root/sys/bus/ap matrix=$root/sys/devices/vfio_ap/matrix
LC_ALL=C
export LC_ALL
[ -d "$root/sys/bus" ] || { echo "$0: there is no sysfs at ${root:-}/sys" >&2; exit 2; }

# Sets quoted to $1 as it may stand between the quotes of a JSON string.
quote() {
    case $1 in
    *[!' '-'~']* | *[\\\"]*) quoted=$(printf '%s' "$1" | tr -c ' -~' '?' | sed 's/[\\"]/\\&/g') ;;
    *) quoted=$1 ;;
    esac
}
unreadable() { quote "$1"; printf '{"unreadable":"%s"}' "$quoted"; }
# Prints the content of a file, or why it cannot be read. An empty one is asked again by cat, which reports errors.
value() {
    content='' between=''
    [ -e "$1" ] || { unreadable 'no such file'; return; }
    if [ -r "$1" ]; then
        while IFS= read -r line || [ -n "$line" ]; do
            quote "$line"; content=$content$between$quoted between='\n'
        done < "$1"
    fi 2> /dev/null
    if [ -z "$content" ]; then
        why=$(cat "$1" 2>&1 > /dev/null) || { unreadable "${why##*: }"; return; }
    fi
    printf '"%s"' "$content"
}
# Prints files of a folder as members of an object.
values() {
    folder=$1; shift; comma=''
    for name; do printf '%s"%s":' "$comma" "$name"; value "$folder/$name"; comma=,; done
}
facilities() {
    [ -r "$root/proc/cpuinfo" ] || { unreadable 'no such file'; return; }
    while IFS= read -r line; do
        case $line in facilities*:*) quote "${line#*: }"; printf '"%s"' "$quoted"; return ;; esac
    done < "$root/proc/cpuinfo"
    unreadable 'no facilities in /proc/cpuinfo'
}

# Prints whether this kernel has vfio_ap, by what depmod wrote for it.
module() {
    lines=$root/proc/sys/kernel/osrelease release=''; { IFS= read -r release < "$lines"; } 2> /dev/null
    [ -n "$release" ] || { value "$lines"; return; }
    for file in modules.dep modules.builtin; do
        lines=$root/lib/modules/$release/$file
        [ -r "$lines" ] || { value "$lines"; return; }
        grep -q '/vfio_ap\.ko' "$lines" || continue
        case $file in modules.dep) printf '"module"' ;; *) printf '"built in"' ;; esac; return
    done 2> /dev/null
    printf '"none"'
}

# Prints who else has a say in this host's devices, as members of an object: KubeVirt, and its QEMU.
others() {
    [ -e "$root/var/lib/kubelet/device-plugins/kubevirt-kvm.sock" ] && printf ',"kubevirt":"node"'
    [ -z "$root" ] && said=$(qemu) && [ -n "$said" ] || return 0
    between=',"qemu-vfio-ap":"'
    printf '%s\n' "$said" | { while IFS= read -r line; do
        quote "$line"; printf '%s' "$between$quoted"; between='\n'
    done; printf '"'; }
}

printf '{"format":"kaput-snapshot","version":1,"taken-by":"collect.sh",\n"host":{'
values "$root/proc/sys/kernel" osrelease; printf ','
values "$root/sys/firmware/uv" prot_virt_guest; printf ',"facilities":'; facilities; printf ',"vfio_ap-module":'; module; others
printf '},\n"bus":{'; values "$ap" apmask aqmask ap_adapter_mask ap_usage_domain_mask ap_control_domain_mask \
    ap_max_adapter_id ap_max_domain_id features
printf '},\n"vfio-ap":{'; values "$matrix" features
printf '},\n"drivers":{'; next=''
for driver in "$ap"/drivers/*/; do
    driver=${driver%/}; [ -d "$driver" ] || continue
    quote "${driver##*/}"; printf '%s\n"%s":[' "$next" "$quoted"; next=, comma=''
    for queue in "$driver"/[0-9a-f][0-9a-f].[0-9a-f][0-9a-f][0-9a-f][0-9a-f]; do
        [ -e "$queue" ] || [ -L "$queue" ] && { printf '%s"%s"' "$comma" "${queue##*/}"; comma=,; }
    done; printf ']'
done
printf '},\n"cards":{'; next=''
for card in "$ap"/devices/card[0-9a-f][0-9a-f]; do
    [ -e "$card" ] || [ -L "$card" ] || continue
    printf '%s\n"%s":{' "$next" "${card##*/card}"; next=,
    values "$card" hwtype raw_hwtype ap_functions config chkstop serialnr; printf '}'
done
printf '},\n"queues":{'; next=''
for queue in "$ap"/devices/[0-9a-f][0-9a-f].[0-9a-f][0-9a-f][0-9a-f][0-9a-f]; do
    [ -e "$queue" ] || [ -L "$queue" ] || continue
    printf '%s\n"%s":{' "$next" "${queue##*/}"; next=,
    values "$queue" config chkstop driver_override online ap_functions mkvps; printf '}'
done
printf '},\n"mdevs":{'; next=''
for mdev in "$matrix"/*/; do
    mdev=${mdev%/}; [ -e "$mdev/matrix" ] || continue
    quote "${mdev##*/}"; printf '%s\n"%s":{' "$next" "$quoted"; next=,
    values "$mdev" matrix guest_matrix control_domains ap_config; printf ',"status":'
    queue=''; { IFS= read -r queue < "$mdev/guest_matrix"; } 2> /dev/null
    case $queue in
    [0-9a-f][0-9a-f].[0-9a-f][0-9a-f][0-9a-f][0-9a-f]) value "$ap/devices/$queue/status" ;;
    *) unreadable 'no queue' ;;
    esac; printf '}'
done
printf '}}\n'
