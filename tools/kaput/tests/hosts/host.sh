# SPDX-License-Identifier: MIT OR Apache-2.0 Arguments: the host's name, its own folder, a program with its arguments.
# The program gets the host's name, and sees the host's own folders where a libvirt keeps things: by these a libvirt of
# one host is none of another's, and none of the system's. KAPUT_ALSO has more pairs of such folders.
hostname "$1"
own=$2
shift 2

# Where the system has no such folder, the folder above is replaced by one that shows the same and has it besides.
private() {
    above=${2%/*}
    if [ ! -d "$2" ]; then
        below=$own/below$above
        mkdir -p "$below" && mount --bind "$above" "$below" && mount -t tmpfs tmpfs "$above" || return
        for entry in "$below"/* "$below"/.[!.]*; do
            if [ -e "$entry" ] || [ -L "$entry" ]; then ln -s "$entry" "$above/" || return; fi
        done
        mkdir "$2" || return
    fi
    mkdir -p "$own/$1" && mount --bind "$own/$1" "$2"
}

for pair in run=/run cache=/var/cache log=/var/log lib=/var/lib/libvirt etc=/etc/libvirt ${KAPUT_ALSO-}; do
    private "${pair%%=*}" "${pair#*=}" || exit
done
exec "$@"
