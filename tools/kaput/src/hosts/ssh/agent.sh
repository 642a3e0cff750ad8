# SPDX-License-Identifier: MIT OR Apache-2.0
# What kaput runs on a host that it reaches by ssh. It comes in on standard input and is never a file there. Everything
# happens in one temporary folder, which goes away with what runs in it when standard input ends or falls silent.
#
# One request a line, one answer each: `ok`, `ok SIZE` and this many bytes, or `no WHY`. `ended NAME STATUS` comes
# unasked.
umask 077
LC_ALL=C KAPUT_STARTS_QEMU=1 qemu=${KAPUT_QEMU:-qemu-system-s390x} store=${KAPUT_STORE:-store}
export LC_ALL KAPUT_STARTS_QEMU
dir=$(mktemp -d "${TMPDIR:-/tmp}/kaput-XXXXXX") || exit 3

# What does not end with us is ended by what stands in a file for it: a guest belongs to libvirt.
undo() { for file in "$dir"/*.undo; do [ -e "$file" ] && sh "$file"; done; }
stop() { for file in "$dir"/*.pid; do [ -e "$file" ] && kill -9 "$(cat "$file")"; done; }
clean() {
    trap - EXIT; trap '' HUP INT TERM PIPE
    : > "$dir/end"
    kill "$watch"
    stop
    undo > /dev/null
    wait
    rm -rf "$dir"
} 2> /dev/null
trap clean EXIT; trap 'exit 3' HUP INT TERM PIPE
# Now, while there is room for it.
: > "$dir/voice"

# A link that is cut says nothing for hours, so silence ends it too: kaput speaks every few seconds. For how long
# nothing may be heard is set before this script.
(
    # In short naps: one that is left behind when this is killed is soon over.
    naps=0
    while sleep 1; do
        # Who is killed cannot clean up; what it ran has gone with it.
        kill -0 "$$" || { : > "$dir/end"; stop; undo; rm -rf "$dir"; exit; }
        [ -e "$dir/beat" ] && rm -f "$dir/beat" && naps=0 && continue
        naps=$((naps + 1))
        [ "$naps" -ne "$silence" ] || kill "$$"
        # It waits for the rest of a file that does not come.
        [ "$naps" -lt $((silence + 5)) ] || kill -9 "$$"
    done
) < /dev/null > /dev/null 2>&1 &
watch=$!

# Waits until what was killed has ended: its device is free then.
alive() { for file in "$dir"/*.pid; do [ -e "$file" ] && kill -0 "$(cat "$file")" && return; done; return 1; } 2> /dev/null
gone() { for nap in $(seq 100); do alive || return; sleep 0.02; done; }
no() { printf 'no %s\n' "$(printf '%s\n' "$1" | tail -n 1)"; }
# What takes more than one write must not have the end of a program in its middle.
give() { { flock 8; printf 'ok %s\n' "$(($(wc -c < "$1")))" && cat "$1"; } 8> "$dir/voice"; }
put() { cat > "$dir/$1"; }
add() { cat >> "$dir/$1"; }
# Takes the rest of a request. What has no room is read all the same: the next request comes after it.
take() { head -c "$rest" | { "$1" "$name" || { cat > /dev/null; false; }; }; } 2>&1
# How an attribute is written. An emulated host has a program of its own for it, which gets the file's path.
store() { cat > "$1"; }

printf 'dir %s\nqemu %s\nplugin %s\nroot %s\nclient %s\n' "$dir" "$(command -v "$qemu")" "${KAPUT_PLUGIN-}" \
    "${KAPUT_ROOT-}" "${SSH_CONNECTION-}"
"$qemu" -M help 2>&1 < /dev/null | sed 's/^/machine /'
echo ready
while read -r verb name rest; do
    : > "$dir/beat"
    case $verb in
    beat) ;;
    put | add) why=$(take "$verb") && echo ok || no "$why" ;;
    get) [ -r "$dir/$name" ] && give "$dir/$name" || no "$name cannot be read" ;;
    drop) rm -f "$dir/$name".*; echo ok ;;
    # What may take long is done beside the reading of lines: the next of them says that kaput is there.
    run)
        why=$(take put) || { no "$why"; continue; }
        (
            sh "$dir/$name" > "$dir/out" 2> "$dir/err" < /dev/null &
            echo $! > "$dir/$name.pid"
            wait $!
            status=$?
            rm -f "$dir/$name.pid"
            [ "$status" = 0 ] && give "$dir/out" || no "$(cat "$dir/err")"
        ) 9<&- & ;;
    write) (why=$({ printf '%s\n' "$rest" | "$store" "$name"; } 2>&1) && echo ok || no "$why") < /dev/null 9<&- & ;;
    stop) # Nothing is started from here on.
        : > "$dir/end"
        (stop 2> /dev/null; undo > /dev/null 2>&1; gone; echo ok) < /dev/null 9<&- & ;;
    lock) # Held until this shell ends. It is the folder itself that is locked, so nothing is left of it.
        why=$({ exec 9< "$name"; } 2>&1) && exec 9< "$name" && flock -w "$rest" 9 && echo ok || no "${why:-another kaput has it}" ;;
    start)
        (
            sh "$dir/$name.command" < /dev/null > /dev/null 2> "$dir/$name.stderr" 9<&- &
            # Who starts while the rest is being ended either is in a file by then or sees that it ends.
            if echo $! > "$dir/$name.pid" && [ ! -e "$dir/end" ]; then
                printf 'ok %s\n%s' "${#!}" "$!"
            else
                kill -9 $!; no "there is no room for its number"
            fi
            wait $!
            status=$?
            rm -f "$dir/$name.pid"
            { flock 8; echo "ended $name $status"; } 8> "$dir/voice"
        ) 9<&- & ;;
    kill) [ ! -e "$dir/$name.pid" ] || kill -9 "$(cat "$dir/$name.pid")" 2> /dev/null; echo ok ;;
    *) no "what is $verb?" ;;
    esac
done
