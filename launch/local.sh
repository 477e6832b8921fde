#!/usr/bin/env bash
# Run N processes of one program on this machine, as the hosts of one run: for trying what runs on several machines.
#
#   launch/local.sh N [--program=FILE] FLAG…
#   JAX_NUM_CPU_DEVICES=2 launch/local.sh 2 --mode=train --config=configs/copying.py:lstm --workdir=runs/two
#
# Each process gets the flags, and --coordinator, --process_index and --process_count. Process 0 writes to the terminal;
# lines of the others begin with their number. SIGINT, SIGTERM and SIGHUP (as SIGTERM) are passed on to all. When a
# process fails, the others get SIGTERM a second later, and SIGKILL after GRACE seconds (10). The exit code is that of
# the first that failed, or 128 + the signal: 143 for a run that SIGTERM has ended after a checkpoint.
#
# --program=FILE runs another program in place of main.py. PYTHON is the interpreter; default: the repository's.
set -u
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

fail() {
  echo "error: $1" >&2
  exit 2
}

usage='write launch/local.sh N FLAG…, with the number of processes N from 1 to 256'
[[ ${1-} =~ ^[1-9][0-9]{0,2}$ && $1 -le 256 ]] || fail "N=${1-} is not allowed; $usage"
count=$1 program="$root/main.py"
shift
if [[ ${1-} == --program=* ]]; then
  program="${1#--program=}"
  shift
fi
[[ $# -gt 0 ]] || fail "flags are missing; $usage"
[[ -f $program ]] || fail "--program=$program is no file"
python="${PYTHON:-$root/.venv/bin/python}"
command -v "$python" >/dev/null || python=python3
command -v "$python" >/dev/null || fail "PYTHON=$python cannot be run; name a Python interpreter"

find_port() {
  "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

prefix() {
  local line
  trap '' INT TERM HUP # it ends when its process does
  while IFS= read -r line || [[ -n $line ]]; do
    printf '[%s] %s\n' "$1" "$line"
  done
}

pids=() readers=() state=() signalled='' pending='' started='' code=0

send() { # signal
  local i
  for ((i = 0; i < ${#pids[@]}; i++)); do
    [[ ${state[i]} == runs ]] && kill -s "$1" "${pids[i]}" 2>/dev/null
  done
}

# shellcheck disable=SC2329  # called by traps, as is `clean`
forward() { # signal
  signalled=$1
  if [[ -n $started ]]; then send "$1"; else pending=$1; fi
}

trap 'forward INT' INT
trap 'forward TERM' TERM HUP

# Kill what is left of each group, and remove the pipes: also where this script itself goes wrong.
# shellcheck disable=SC2329
clean() {
  local i
  for ((i = 0; i < ${#pids[@]}; i++)); do
    kill -s KILL -- "-${pids[i]}" 2>/dev/null
  done
  [[ ${#readers[@]} -eq 0 ]] || wait "${readers[@]}" 2>/dev/null
  rm -rf "$pipes"
}
pipes="$(mktemp -d)" || exit 1
trap clean EXIT

port="$(find_port)" || fail "PYTHON=$python cannot open a port on 127.0.0.1"
set -m # each process in a group of its own: Ctrl-C reaches it through this script alone, and SIGINT is not ignored
for ((i = 0; i < count; i++)); do
  command=("$python" "$program" "$@" "--coordinator=127.0.0.1:$port" "--process_index=$i" "--process_count=$count")
  if ((i == 0)); then
    "${command[@]}" </dev/null &
  else
    mkfifo "$pipes/$i" || exit 1
    prefix "$i" <"$pipes/$i" &
    readers+=($!)
    "${command[@]}" </dev/null >"$pipes/$i" 2>&1 &
  fi
  pids+=($!)
  state+=(runs)
done
set +m # Ctrl-C goes to this script, not to a `sleep` of its own group
started=yes
[[ -z $pending ]] || send "$pending"

# Whether an exit code is that of a process that was asked to end.
is_answer() {
  [[ -n $signalled ]] && (($1 == 130 || $1 == 143))
}

running=$count patience='' kill_at=''
while ((running > 0)); do
  for ((i = 0; i < count; i++)); do
    if [[ ${state[i]} == runs ]] && ! kill -0 "${pids[i]}" 2>/dev/null; then
      wait "${pids[i]}" 2>/dev/null
      ended=$?
      state[i]=ended running=$((running - 1))
      ((code != 0)) || code=$ended
      if ((ended != 0 && running > 0)) && [[ -z $patience ]] && ! is_answer "$ended"; then
        echo "process $i of $count has failed with exit code $ended: the others are ended" >&3
        patience=10 # of a tenth of a second: processes that fail for the same reason may say so
      fi
    fi
  done
  if [[ -n $kill_at ]]; then
    ((SECONDS < kill_at)) || send KILL
  elif [[ -n $patience ]] && ((patience-- == 0)); then
    send TERM
    kill_at=$((SECONDS + ${GRACE:-10}))
  fi
  sleep 0.1
done 3>&2 2>/dev/null # bash itself writes a line there for every process that is killed
exit "$code"
