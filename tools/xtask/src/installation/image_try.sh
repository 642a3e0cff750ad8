# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs in the root of the container's image: uses what is in it. Prints results as test programs do.
unset $(env | sed -n 's/^\(KAPUT_[A-Z_]*\)=.*/\1/p')
passed=0 failed=0
for command in "doctor" "run survive" "lab shell --help"; do
    if kaput $command > /tmp/said 2>&1 < /dev/null; then
        echo "test the_image_runs_kaput_$(echo "$command" | tr ' ' _) ... ok"
        passed=$((passed + 1))
    else
        tail -n 20 /tmp/said
        echo "test the_image_runs_kaput_$(echo "$command" | tr ' ' _) ... FAILED"
        failed=$((failed + 1))
    fi
done
echo "test result: . $passed passed; $failed failed; 0 ignored"
exit "$failed"
