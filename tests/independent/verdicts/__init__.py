"""Verdicts of the article computed again from the records, with NumPy and SciPy alone.

Nothing here is imported from `comparison`: what a record is, which records count, the statistics, the thresholds and
the dates of the rules are written down a second time, from the text of the claims. An error in the selection of
records, in an interval or in a judge shows as a difference.

  python -m tests.independent.verdicts results/intel-xeon-2-cores/overnight
"""
