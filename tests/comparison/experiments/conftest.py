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
    def __init__(self, model, task, settings, scoring=None):
      self.model, self.scoring = model, scoring
      made.append((model, task, settings))

    def run(self, rate, seed):
      params = self.model.init(jax.random.key(seed))
      scores = {update: self.scoring.score(params) for update in self.scoring.updates} if self.scoring else {}
      return Trial(params, np.linspace(2.0, 1.0, 20, dtype=np.float32), finite=True, scores=scores)

  monkeypatch.setattr(grid, 'Trainer', Trainer)
  return made
