# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs in a bare root of Debian 13: installs the package, which is the file `package`, by the job for CI, which judges a
# kernel by a case; `kernel` is one of the lab. Then it is used. Prints results as test programs do.
unset $(env | sed -n 's/^\(KAPUT_[A-Z_]*\)=.*/\1/p')
passed=0 failed=0 skipped=0
# try NAME WORDS COMMAND...: the command ends well and prints these words.
try() {
    name=$1 words=$2
    shift 2
    if "$@" > /tmp/said 2>&1 < /dev/null && grep -q -e "$words" /tmp/said; then
        echo "test $name ... ok"
        passed=$((passed + 1))
    else
        tail -n 20 /tmp/said
        echo "test $name ... FAILED"
        failed=$((failed + 1))
    fi
}
install() {
    dpkg-deb --extract "$package" /tmp/package
    KAPUT_PACKAGE=$package KAPUT_KERNEL=${kernel:-/none} KAPUT_ARGUMENTS="--only guest/removed-domain" \
        sh /tmp/package/usr/lib/kaput/ci/job.sh / /tmp/reports
}
refused() {
    ! "$@"
}
# Somebody who wants to leave as soon as there is a shell.
shell() {
    while sleep 2; do echo exit; done | timeout 300 kaput lab shell --ap 05=cex8a/33 --kernel "$kernel"
}
echo "running 11 tests"
begin=$(date +%s)
if [ -n "$kernel" ]; then
    try the_job_for_ci_installs_it_and_judges_a_kernel "1 passed, 0 failed" install
    try the_job_leaves_reports "<testsuite name=.guest. tests=.1. " cat /tmp/reports/kaput.xml
else
    install > /tmp/said 2>&1 < /dev/null || :
    echo "SKIP lab: there is no kernel of the lab in the cache"
    echo "test [lab] the_job_for_ci_installs_it_and_judges_a_kernel ... ignored"
    skipped=1
fi
try the_doctor_finds_everything "ok       plugin API" kaput doctor
try the_first_run_is_as_expected "AS EXPECTED" kaput run survive
echo "from nothing but Debian to the first verdict: $(($(date +%s) - begin)) s"
try a_shell_without_a_kernel_says_what_to_do "--source TREE" refused kaput lab shell --ap 05=cex8a/33
if [ -n "$kernel" ]; then
    try a_shell_without_a_busybox_says_what_to_do "no busybox" refused kaput lab shell --ap 05=cex8a/33 --kernel "$kernel"
    try the_busybox_is_fetched "/lab/busybox" kaput lab busybox
    try the_shell_of_the_lab_runs "An LPAR with Linux" shell
fi
try the_settings_of_a_kernel_are_there "CONFIG_VFIO_AP=y" cat /usr/lib/kaput/lab/lab.config
try manual_pages_and_completions_are_there "TH kaput-run 1" \
    sh -c 'zcat /usr/share/man/man1/kaput-run.1.gz && test -s /usr/share/bash-completion/completions/kaput'
try nothing_of_it_stays "Removing kaput" sh -c 'apt-get purge --yes kaput && ! test -e /usr/lib/kaput'
echo "test result: . $passed passed; $failed failed; $skipped ignored"
exit "$failed"
