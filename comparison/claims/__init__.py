"""Claims: pure functions from records to verdicts. Numbers are for good."""

from comparison.claims import (
  architecture,
  attention,
  decoding,
  latency,
  optimisation,
  scaling,
  systems,
  tasks,
  throughput,
  training_memory,
  winners,
)
from comparison.claims.base import Claim

_MODULES = (
  architecture,
  scaling,
  optimisation,
  latency,
  decoding,
  tasks,
  systems,
  attention,
  winners,
  throughput,
  training_memory,
)
_ALL = [claim for module in _MODULES for claim in module.CLAIMS]
CLAIMS: dict[int, Claim] = {claim.number: claim for claim in sorted(_ALL, key=lambda claim: claim.number)}
