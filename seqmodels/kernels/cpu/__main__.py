"""Build the kernels; say in one line where they are, or why they are not there (which is no error)."""

from seqmodels.errors import InputError
from seqmodels.kernels.cpu import library

if __name__ == '__main__':
  try:
    print(f'Kernels for CPUs: {library.build()}')
  except InputError as error:
    print(f'The kernels for CPUs are not built, their other forms will run: {error}')
