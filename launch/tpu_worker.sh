#!/usr/bin/env bash
# What tpu_vm.sh runs on each worker of a TPU slice, in the root of the repository.
#
#   tpu_worker.sh install         make install EXTRA=tpu, with a Python that uv fetches where the image has none >= 3.11
#   tpu_worker.sh start FLAG…     start main.py in the background; --process_index=auto becomes the worker's number
#   tpu_worker.sh follow          print the log until the run has ended, and exit with its exit code
#   tpu_worker.sh stop            send SIGTERM to the run
#
# Beside the repository, seqmodels-run/ has log, pid and code of the newest run.
set -euo pipefail
state=../seqmodels-run
metadata=http://metadata.google.internal/computeMetadata/v1/instance/attributes/agent-worker-number

is_running() {
  [[ -f $state/pid && ! -f $state/code ]] && kill -0 "$(<"$state/pid")" 2>/dev/null
}

install() {
  local python
  export PATH="$HOME/.local/bin:$PATH"
  if ! python="$(.ci/find-python 3.11 3.99)"; then
    python3 -m pip install --quiet --user uv
    uv python install 3.12
    python="$(.ci/find-python 3.11 3.99)"
  fi
  make install EXTRA=tpu "PYTHON=$python"
}

start() {
  local flags=() flag number
  if is_running; then
    echo "error: $(hostname) runs already, as process $(<"$state/pid"); stop it first" >&2
    exit 2
  fi
  for flag in "$@"; do
    if [[ $flag == --process_index=auto ]]; then
      number="$(curl --silent --fail --header 'Metadata-Flavor: Google' "$metadata")"
      flag="--process_index=$number"
    fi
    flags+=("$flag")
  done
  rm -rf "$state"
  mkdir "$state"
  # A session of its own: the end of the connection does not reach it.
  # shellcheck disable=SC2016
  setsid nohup bash -c '"${@:2}" & echo $! >"$1/pid"; wait $!; echo $? >"$1/code"' \
    run "$state" "${PYTHON:-.venv/bin/python}" main.py "${flags[@]}" </dev/null >"$state/log" 2>&1 &
  while [[ ! -s $state/pid ]]; do sleep 0.1; done
}

follow() {
  [[ -f $state/pid ]] || {
    echo "error: $(hostname) has no run" >&2
    exit 2
  }
  tail --lines=+1 --sleep-interval=0.5 --pid="$(<"$state/pid")" --follow "$state/log"
  for _ in {1..50}; do
    [[ ! -s $state/code ]] || exit "$(<"$state/code")"
    sleep 0.1
  done
  echo "error: the run of $(hostname) has ended without an exit code" >&2
  exit 1
}

stop() {
  if is_running; then kill -s TERM "$(<"$state/pid")"; else echo "$(hostname) runs nothing"; fi
}

case "${1-}" in
  install | follow | stop) "$1" ;;
  start) start "${@:2}" ;;
  *)
    echo "error: command=${1-} is not known; allowed: install, start, follow, stop" >&2
    exit 2
    ;;
esac
