"""Transformer vs RNN Performance for Sequence Modelling: sixty statements, the claims that test them, two tables.

Adding a claim: write a module and add it to the list. Numbers are for good.
"""

from comparison.articles.transformer_vs_rnn import (
  all_pairs,
  architecture,
  attention,
  capability,
  convergence,
  decoding,
  devices,
  earlier_trained,
  encodings,
  latency,
  little_data,
  optimisation,
  real_tasks,
  recall,
  scaling,
  state,
  steady_training,
  systems,
  tables,
  tasks,
  throughput,
  trained_grids,
  training_memory,
  tuning,
  winners,
)
from comparison.articles.transformer_vs_rnn.ledger import SECTIONS, STATEMENTS
from comparison.claims.article import Article, numbered
from comparison.claims.base import Claim

_MODULES = (
  all_pairs,
  architecture,
  attention,
  capability,
  convergence,
  decoding,
  devices,
  encodings,
  latency,
  little_data,
  optimisation,
  real_tasks,
  recall,
  scaling,
  state,
  steady_training,
  systems,
  tasks,
  throughput,
  trained_grids,
  training_memory,
  tuning,
  winners,
)
# Claims about scores on a test split whose present rule was written without the noise of its examples.
_WITHOUT_NOISE = (8, 13, 15, 16, 19, 20, 44, 46, 58, 59)


def _revised(claim: Claim) -> Claim:
  if claim.number in _WITHOUT_NOISE:
    return earlier_trained.counting_noise(claim)
  if claim.number in earlier_trained.FORMS:  # whose rule was written with one form of the Transformer
    return earlier_trained.searching_forms(claim)
  return claim


CLAIMS = numbered(_revised(claim) for module in _MODULES for claim in module.CLAIMS)
ARTICLE = Article(
  name='transformer_vs_rnn',
  title='Transformers and recurrent networks, measured',
  reference='Transformer vs RNN Performance for Sequence Modelling',
  sections=SECTIONS,
  statements=STATEMENTS,
  claims=CLAIMS,
  tables=tables.tables,
)
