# SPDX-License-Identifier: MIT OR Apache-2.0
# Arguments: a bare root, a folder for fetched packages, a folder in which the copy of the root goes, and what the root
# is to see of this machine besides, each at the same place or as FROM=TO at another. `inside` is the script that runs
# in it, and gets these last arguments.
set -eu
root=$1 packages=$2 scratch=$3/installation
shift 3
rm -rf --one-file-system "$scratch"
mkdir "$scratch"
trap 'rm -rf --one-file-system "$scratch"' EXIT
trap 'exit 3' HUP INT TERM
cp -a --reflink=auto "$root" "$scratch/root"
# The copy is thrown away, so nobody needs it to be on the disk.
echo force-unsafe-io > "$scratch/root/etc/dpkg/dpkg.cfg.d/unsafe-io"

# In a namespace of its own, so that all mounts go with the last program. `/` must be a mount point for the test bed.
export root="$scratch/root" packages
unshare --mount --pid --fork --uts --propagation private sh -eu -c '
    mount --bind "$root" "$root"
    bind() { mkdir -p "$root$2" && mount --rbind "$1" "$root$2"; }
    mount -t proc proc "$root/proc"
    mount -t tmpfs tmpfs "$root/run"
    mount -t tmpfs tmpfs "$root/tmp"
    bind /sys /sys
    bind /dev /dev
    bind "$packages" /var/cache/apt/archives
    for folder; do bind "${folder%%=*}" "${folder#*=}"; done
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    mkdir "$root/before"
    cd "$root"
    pivot_root . before
    cd /
    umount -l /before
    export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    unset LD_LIBRARY_PATH
    exec sh -eu -c "$inside" sh "$@"
' sh "$@"
