"""Claims: pure functions from records to verdicts. Numbers are for good."""

from comparison.claims import architecture, inference, optimisation, scaling, systems, tasks
from comparison.claims.base import Claim

_ALL = (*architecture.CLAIMS, *scaling.CLAIMS, *optimisation.CLAIMS, *inference.CLAIMS, *tasks.CLAIMS, *systems.CLAIMS)
CLAIMS: dict[int, Claim] = {claim.number: claim for claim in sorted(_ALL, key=lambda claim: claim.number)}
