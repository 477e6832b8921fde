"""The modes of `main.py` besides training and evaluation, one file each, and what reads the command line."""
