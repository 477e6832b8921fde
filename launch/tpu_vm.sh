#!/usr/bin/env bash
# Train on a Cloud TPU VM: the same command on every worker of a slice, which find each other through JAX.
#
#   launch/tpu_vm.sh create  --name=lstm --zone=us-west4-a --type=v5litepod-16 --version=v2-alpha-tpuv5-lite --queued
#   launch/tpu_vm.sh install --name=lstm --zone=us-west4-a --setup='sudo mount -t nfs 10.0.0.2:/share /mnt'
#   launch/tpu_vm.sh run     --name=lstm --zone=us-west4-a -- \
#     --mode=train --config=configs/language.py:lstm --workdir=/mnt/lstm
#   launch/tpu_vm.sh delete  --name=lstm --zone=us-west4-a
#
# create   makes the slice, at once or (--queued) as a queued resource, and waits until it is there
# install  sends the commit that is checked out to every worker and runs `make install EXTRA=tpu`, after --setup=COMMAND
# run      starts main.py with the flags after `--` on every worker, and follows the log of worker 0; its exit code
# logs     follows a log again, that of worker 0 or of --worker=N: the run does not depend on the connection
# stop     sends SIGTERM to the run of every worker, so that it saves and exits with 143; `run` continues it
# delete   deletes the slice
#
# Options: --name (seqmodels), --zone and --project (gcloud's own), --type, --version, --queued, --spot, --setup;
# --coordinator=[HOST]:PORT for `run`, where the firewall of the network does not let the workers reach JAX's choice
# (worker 0, port 8482): another port of worker 0, or of HOST, which must be the address of worker 0.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

fail() {
  echo "error: $1" >&2
  exit 2
}

task="${1-}"
[[ $task =~ ^(create|install|run|logs|stop|delete)$ ]] ||
  fail "command=$task is not known; allowed: create, install, run, logs, stop, delete"
shift
name=seqmodels type='' version='' setup=true worker=0 coordinator='' is_queued='' has_flags='' place=() spot=()
while (($#)); do
  case "$1" in
    --name=?*) name="${1#*=}" ;;
    --zone=?* | --project=?*) place+=("$1") ;;
    --type=?*) type="${1#*=}" ;;
    --version=?*) version="${1#*=}" ;;
    --setup=?*) setup="${1#*=}" ;;
    --worker=?*) worker="${1#*=}" ;;
    --coordinator=*) coordinator="${1#*=}" ;;
    --queued) is_queued=yes ;;
    --spot) spot=(--spot) ;;
    --) has_flags=yes ;;
    *) fail "option $1 is not known; the flags of main.py stand after --" ;;
  esac
  shift
  [[ -z $has_flags ]] || break
done
command -v gcloud >/dev/null || fail 'gcloud is not installed; it is part of the Google Cloud SDK'

tpus() {
  gcloud compute tpus "$@" ${place[@]+"${place[@]}"}
}

on_workers() { # workers, words of tpu_worker.sh …
  local workers=$1 words
  shift
  words="$(printf '%q ' bash launch/tpu_worker.sh "$@")"
  tpus tpu-vm ssh "$name" "--worker=$workers" "--command=cd seqmodels && ${words% }"
}

follow() {
  trap 'echo "the run goes on: follow it with logs, end it with stop" >&2; exit 130' INT
  on_workers "$worker" follow
}

create() {
  [[ -n $type && -n $version ]] || fail 'create needs --type and --version, as v5litepod-16 and v2-alpha-tpuv5-lite'
  if [[ -z $is_queued ]]; then
    tpus tpu-vm create "$name" "--accelerator-type=$type" "--version=$version" ${spot[@]+"${spot[@]}"}
    return
  fi
  tpus queued-resources create "$name" "--node-id=$name" "--accelerator-type=$type" "--runtime-version=$version" \
    ${spot[@]+"${spot[@]}"}
  local state='' before=''
  while [[ $state != ACTIVE ]]; do
    state="$(tpus queued-resources describe "$name" '--format=value(state.state)')"
    [[ $state == "$before" ]] || echo "queued resource $name: $state"
    case "$state" in
      ACTIVE) ;;
      FAILED | SUSPENDING | SUSPENDED | DELETING)
        fail "queued resource $name is $state; delete it and create it again"
        ;;
      *) sleep "${POLL_SECONDS:-30}" ;;
    esac
    before=$state
  done
}

install() {
  local folder prepare
  folder="$(mktemp -d)"
  # shellcheck disable=SC2064  # the folder of now
  trap "rm -rf '$folder'" EXIT
  [[ -z $(git -C "$root" status --porcelain) ]] || echo 'what is not committed is not sent' >&2
  git -C "$root" bundle create --quiet "$folder/seqmodels.bundle" HEAD
  tpus tpu-vm scp "$folder/seqmodels.bundle" "$name:" --worker=all
  prepare='git init --quiet seqmodels && cd seqmodels && git fetch --quiet ../seqmodels.bundle HEAD'
  prepare+=' && git checkout --quiet --detach FETCH_HEAD && bash launch/tpu_worker.sh install'
  tpus tpu-vm ssh "$name" --worker=all "--command=$setup && $prepare"
}

run() {
  [[ $# -gt 0 ]] || fail 'run needs the flags of main.py after --'
  local flags=("$@") addresses
  if [[ -n $coordinator ]]; then
    [[ $coordinator =~ ^[^:]*:[0-9]+$ ]] || fail "--coordinator=$coordinator must be HOST:PORT, or :PORT of worker 0"
    addresses="$(tpus tpu-vm describe "$name" '--format=value(networkEndpoints[].ipAddress)')"
    read -ra addresses <<<"${addresses//[;,]/ }"
    [[ $coordinator != :* ]] || coordinator="${addresses[0]}$coordinator"
    flags+=("--coordinator=$coordinator" "--process_count=${#addresses[@]}" --process_index=auto)
  fi
  on_workers all start "${flags[@]}"
  follow
}

case "$task" in
  create) create ;;
  install) install ;;
  run) run "$@" ;;
  logs) follow ;;
  stop) on_workers all stop ;;
  delete)
    if [[ -n $is_queued ]]; then
      tpus queued-resources delete "$name" --force --quiet
    else
      tpus tpu-vm delete "$name" --quiet
    fi
    ;;
esac
