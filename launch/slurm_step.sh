#!/usr/bin/env bash
# Run main.py as the one step of a SLURM job, and queue the job again where it was stopped to continue later.
# slurm.sbatch and slurm_array.sbatch start it; the arguments are the flags of main.py.
#
# PYTHON is the interpreter (default: the repository's), MAX_RESTARTS the number of times that a job is queued again
# (100), so that a job that makes no progress within its time limit ends at some point.
set -uo pipefail

# SIGTERM of the time limit (--signal=TERM@…) goes to the step alone. The batch shell gets it too where the job itself
# is ended: by scancel, or by a preemption after which SLURM queues the job again. bash runs a trap when srun has ended,
# so that the shell does not leave its step behind.
is_cancelled=''
trap 'is_cancelled=yes' TERM

# srun takes no --cpus-per-task from the job since SLURM 22.05. --gpu-bind=none: each task sees all GPUs of its node, of
# which JAX picks one. Processes end by themselves when one of them fails; --wait kills what has not after 120 seconds,
# whereas --kill-on-bad-exit would kill the others in the middle of a save.
options=(--gpu-bind=none --kill-on-bad-exit=0 --wait=120)
[[ -z ${SLURM_CPUS_PER_TASK:-} ]] || options+=("--cpus-per-task=$SLURM_CPUS_PER_TASK")
srun "${options[@]}" "${PYTHON:-.venv/bin/python}" main.py "$@"
code=$?

if ((code == 128 + 15)) && [[ -z $is_cancelled ]]; then
  job="$SLURM_JOB_ID"
  [[ -z ${SLURM_ARRAY_JOB_ID:-} ]] || job="${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
  if ((${SLURM_RESTART_COUNT:-0} < ${MAX_RESTARTS:-100})); then
    echo "job $job was stopped after a checkpoint and is queued again"
    scontrol requeue "$job" || exit
  else
    echo "job $job was stopped and is not queued again: it was $SLURM_RESTART_COUNT times (MAX_RESTARTS)" >&2
  fi
fi
exit "$code"
