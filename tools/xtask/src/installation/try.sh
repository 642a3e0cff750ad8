# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs in a bare root: installs what CI installs, and tries it. The first argument is the toolchain, the second the
# checkout; `program` is a test program and `test` the name of its test. Prints results as test programs do.
checkout=$2
export CARGO_HOME="$1"
unset KAPUT_SSH_CONFIG
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
s390x-linux-gnu-gcc -xc -fsyntax-only -include stdio.h /dev/null
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
