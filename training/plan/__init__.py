"""Say what a training step needs on devices that are not there: `--mode=plan`."""
