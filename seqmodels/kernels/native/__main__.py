"""Builds the kernels; says in one line where they are, or why they are not there (which is no error)."""

from seqmodels.errors import InputError
from seqmodels.kernels import native

if __name__ == '__main__':
  try:
    print(f'Native kernels: {native.build()}')
  except InputError as error:
    print(f'Native kernels are not built, those in JAX will run: {error}')
