"""Optimizers and learning-rate schedules, from optax."""

from typing import NamedTuple

import jax
import optax

from seqmodels.notation import Params
from training.settings import TrainSettings


class Optimizer(NamedTuple):
  transform: optax.GradientTransformation
  schedule: optax.Schedule  # step (from 0) → learning rate


def make_optimizer(settings: TrainSettings) -> Optimizer:
  """AdamW (Loshchilov & Hutter 2019) or SGD with momentum, behind clipping by the global norm (Pascanu et al. 2013)."""
  schedule = make_schedule(settings)
  parts = [optax.clip_by_global_norm(settings.clip)] if settings.clip else []
  if settings.optimizer == 'adamw':
    parts.append(optax.scale_by_adam(b2=settings.beta2))
  elif settings.momentum:
    parts.append(optax.trace(settings.momentum))
  if settings.weight_decay:
    parts.append(optax.add_decayed_weights(settings.weight_decay, mask=matrices))
  parts.append(optax.scale_by_learning_rate(schedule))
  return Optimizer(optax.chain(*parts), schedule)


def make_schedule(settings: TrainSettings) -> optax.Schedule:
  """Linear warm-up, then constant or cosine.

  The first step of a warm-up of w steps takes 1/(w+1) of the peak, since a step of learning rate 0 would be wasted.
  """
  peak, warmup = settings.learning_rate, settings.warmup
  if settings.schedule == 'cosine':
    after = optax.cosine_decay_schedule(peak, settings.steps - warmup, settings.final_fraction)
  else:
    after = optax.constant_schedule(peak)
  if not warmup:
    return after
  return optax.join_schedules([optax.linear_schedule(peak / (warmup + 1), peak, warmup), after], [warmup])


def matrices(params: Params) -> Params:
  """True where weight decay applies: biases and norms' scales are left alone."""
  return jax.tree.map(lambda p: p.ndim > 1, params)
