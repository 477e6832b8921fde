"""Independent checks: mixers, position encodings and verdicts against formulations that share no code with them."""
