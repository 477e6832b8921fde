"""Articles: each folder holds what one article says and how it is tested. `load` finds it by name or path."""

from comparison.articles.loading import FIRST, load, names

__all__ = ['FIRST', 'load', 'names']
