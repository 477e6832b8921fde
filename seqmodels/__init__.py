"""Sequence models behind one interface. Import what you need from the submodules; this module imports nothing."""

__version__ = '0.2.0'
