# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs in a bare root of Debian 13: installs the package, which is the file `package`, and writes the root as a layer of
# a container's image into the file `layer`.
sed -n 's/trixie-updates/trixie-backports/p' /etc/apt/sources.list > /etc/apt/sources.list.d/backports.list
export DEBIAN_FRONTEND=noninteractive
apt-get update > /dev/null
apt-get install --yes --no-install-recommends --target-release trixie-backports "$package" > /dev/null
rm -rf /var/lib/apt/lists/* /var/log/*.log /var/log/apt /etc/dpkg/dpkg.cfg.d/unsafe-io
: > /etc/resolv.conf
# What is mounted is not part of it: some of it is of the same file system.
tar --create --file "$layer" --one-file-system --sort=name --exclude=./before --exclude=./mnt/out \
    --exclude='./var/cache/apt/*' -C / .
