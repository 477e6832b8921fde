"""Trainers that do not train, for what grids build and score."""

import jax
import numpy as np
import pytest

from comparison.experiments import grid
from comparison.experiments.trained import Trial


@pytest.fixture
def untrained(monkeypatch):
  """Trainers whose trials keep the first parameters."""
  made = []

  class Trainer:
    def __init__(self, model, task, settings):
      self.model = model
      made.append((model, task, settings))

    def run(self, rate, seed):
      params = self.model.init(jax.random.key(seed))
      return Trial(params, np.linspace(2.0, 1.0, 20, dtype=np.float32), finite=True)

  monkeypatch.setattr(grid, 'Trainer', Trainer)
  return made
