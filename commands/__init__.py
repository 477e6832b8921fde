"""The modes of `main.py` beside training and evaluation, one file each."""
