#!/bin/sh
# Burn CPU and hold memory as the test says, live: a file below /control holds "CPU MEM", CPU in 1/10000 of a core, MEM in
# blocks of 64 KiB. slot-N is for the task in slot N alone, all for every task without one.
#
# The loop is made of builtins only: forking a `sleep` twenty times a second would cost more than the loads to be made.
set -f
trap 'exit 0' TERM INT
block=65536

# Reading a pipe that nobody writes to, with a timeout, is a sleep without a fork.
mkfifo /never
exec 3<>/never

hold() {
    if [ "$1" -gt "$held" ]; then
        dd if=/dev/zero of=/held/block bs=$block seek="$held" count=$(($1 - held)) conv=notrunc 2>/dev/null
    else
        truncate -s $(($1 * block)) /held/block
    fi
    held=$1
}

# Both clocks in hundredths of a second: time since boot, and CPU used by this shell (user and system).
look() {
    read -r up _ </proc/uptime
    now=${up%.*}${up#*.}
    read -r stat </proc/self/stat
    set -- $stat
    used=$((${14} + ${15}))
}

held=0 cpu=0 mem=0 rate=
while :; do
    file=/control/slot-$SLOT
    [ -e "$file" ] || file=/control/all
    read -r cpu mem <"$file"
    [ "$mem" -eq "$held" ] || hold "$mem"
    look
    # Closed loop: what was used is compared with what should have been since the load was set. A load that could not be
    # kept up with (a limit, a busy machine) is not made up for: more than half a second of arrears is forgotten.
    due=$(((now - begun) * cpu - (used - before) * 10000))
    if [ "$cpu" != "$rate" ] || [ "$due" -gt 500000 ] || [ "$due" -lt -500000 ]; then
        rate=$cpu begun=$now before=$used due=0
    fi
    if [ "$due" -gt 0 ]; then
        i=0
        while [ $i -lt 1000 ]; do i=$((i + 1)); done
    elif [ "$cpu" -eq 0 ]; then
        read -r -t 0.2 _ <&3
    else
        read -r -t 0.02 _ <&3
    fi
done
