"""Claims, rules and verdicts: what all articles share. Pure functions of records; numbers are for good."""
