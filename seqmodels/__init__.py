"""Sequence models behind one contract. Imports nothing by itself: take what you need from its modules."""
