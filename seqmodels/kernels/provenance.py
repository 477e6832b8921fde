"""Say which compiled kernels a number was measured with."""

from seqmodels.kernels.cpu import library


def versions(platform: str) -> dict[str, str]:
  """Return the name and a short hash of the kernels that were built for a platform; empty where none are in use."""
  version = library.version() if platform == 'cpu' else None
  return {} if version is None else {'C++ kernels': version}
