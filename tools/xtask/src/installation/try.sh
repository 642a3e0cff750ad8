# SPDX-License-Identifier: MIT OR Apache-2.0 Arguments: a bare root, a folder for fetched packages, the toolchain, a
# test program and the name of its test, and then what the root is to see of this machine: first the checkout and the
# target folder, where the copy of the root goes. Prints results as test programs do.
set -eu
root=$1 packages=$2 toolchain=$3 program=$4 test=$5 checkout=$6 scratch=$7/installation
shift 5
rm -rf --one-file-system "$scratch"
mkdir "$scratch"
trap 'rm -rf --one-file-system "$scratch"' EXIT
trap 'exit 3' HUP INT TERM
cp -a --reflink=auto "$root" "$scratch/root"
# The copy is thrown away, so nobody needs it to be on the disk.
echo force-unsafe-io > "$scratch/root/etc/dpkg/dpkg.cfg.d/unsafe-io"

# In a namespace of its own, so that all mounts go with the last program. `/` must be a mount point for the test bed.
export root="$scratch/root" packages toolchain program test checkout
unshare --mount --pid --fork --uts --propagation private sh -eu -c '
    mount --bind "$root" "$root"
    bind() { mkdir -p "$root$2" && mount --rbind "$1" "$root$2"; }
    mount -t proc proc "$root/proc"
    mount -t tmpfs tmpfs "$root/run"
    mount -t tmpfs tmpfs "$root/tmp"
    bind /sys /sys
    bind /dev /dev
    bind "$packages" /var/cache/apt/archives
    bind "$toolchain" "$toolchain"
    for folder; do bind "$folder" "$folder"; done
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    mkdir "$root/before"
    cd "$root"
    pivot_root . before
    cd /
    umount -l /before
    export CARGO_HOME="$toolchain" HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    unset KAPUT_SSH_CONFIG LD_LIBRARY_PATH
    echo "running 2 tests"
    if "$checkout/.ci/run" install > /tmp/installed 2>&1; then
        echo "test everything_is_installed ... ok"
        passed=1 failed=0
    else
        tail -n 20 /tmp/installed
        echo "test everything_is_installed ... FAILED"
        passed=0 failed=1
    fi
    missing=
    while read -r line; do
        $line > /tmp/said 2>&1 < /dev/null || { missing="$missing $line;"; tail -n 3 /tmp/said; }
    done <<TOOLS
cc --version
git --version
xmllint --version
perl -MTAP::Parser -e 1
chromium --version
script --version
flock --version
unshare --version
ip -V
ssh -V
virsh --version
libvirtd --version
id libvirt-qemu
debootstrap --version
s390x-linux-gnu-gcc --version
flex --version
bison --version
bc --version
TOOLS
    if [ -z "$missing" ]; then
        echo "test every_tool_answers ... ok"
        passed=$((passed + 1))
    else
        echo "test every_tool_answers ... FAILED:$missing"
        failed=$((failed + 1))
    fi
    echo "test result: . $passed passed; $failed failed; 0 ignored"
    cd "$checkout/tools/kaput"
    "$program" "$test"
    exit "$failed"
' sh "$@"
