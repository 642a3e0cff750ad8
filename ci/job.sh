#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Judges the vfio_ap driver of a kernel, in CI on Debian 13, as root: builds the kernel of the tree TREE with the lab's
# settings, unless KAPUT_KERNEL names a bzImage, and writes kaput.xml (JUnit), kaput.html, kaput.json and kaput.ktap
# into the folder REPORTS. Unless kaput is installed, KAPUT_PACKAGE is its Debian package. KAPUT_ARGUMENTS goes to
# `kaput lab run`, whose exit status is that of the job.
set -eu
tree=${1:?the tree of the kernel} reports=${2:?the folder for the reports}

install() {
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
}

# An image of a container comes without the lists of packages.
if ! command -v kaput > /dev/null || [ -z "${KAPUT_KERNEL-}" ]; then
    apt-get update
fi
if ! command -v kaput > /dev/null; then
    package=$(realpath "${KAPUT_PACKAGE:?the Debian package of kaput}")
    # The QEMU that it depends on is in the backports, on the mirror that the system uses.
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: trixie' | head -n 1)
    [ -n "$mirror" ] || mirror=$(sed -n 's/^deb \([^ ]*\) trixie .*/\1/p' /etc/apt/sources.list 2> /dev/null | head -n 1)
    : "${mirror:?no mirror of Debian 13 is known to apt here}"
    echo "deb $mirror trixie-backports main" > /etc/apt/sources.list.d/kaput-backports.list
    apt-get update
    install --target-release trixie-backports "$package"
fi
if [ -z "${KAPUT_KERNEL-}" ]; then
    install bc bison build-essential flex gcc-s390x-linux-gnu libelf-dev libssl-dev
    KAPUT_KERNEL=$(kaput lab build --source "$tree")
fi
mkdir -p "$reports"
# shellcheck disable=SC2086 # These are words.
kaput lab run --kernel "$KAPUT_KERNEL" --report human --report junit="$reports/kaput.xml" \
    --report html="$reports/kaput.html" --report json="$reports/kaput.json" --report ktap="$reports/kaput.ktap" \
    ${KAPUT_ARGUMENTS-}
