"""--mode=export: write the parameters of a trained model as safetensors, and its description as JSON beside them."""

import pathlib

from seqmodels.errors import InputError
from training import exports, files
from training import workdir as workdirs


def main(workdir: str, *, output: str, step: int | None = None) -> None:
  """Write the newest checkpoint of a workdir, or that of `step`, to `output`, whose name ends in .safetensors.

  Raises InputError, also where the file cannot be written.
  """
  path = pathlib.Path(output)
  if path.suffix != exports.SUFFIX:
    raise InputError(f'--output={output} must end in {exports.SUFFIX}')
  if path.is_dir() or not path.parent.is_dir():
    why = 'it is a folder' if path.is_dir() else f'there is no folder {path.parent}'
    raise InputError(f'--output={output} cannot be written: {why}; allowed: a file in a folder that exists')
  files.check_writable('output', output, path.parent)
  loaded = workdirs.load(workdir, step)
  exports.write(path, loaded)
  print(f'step {loaded.step}: {path} and {path.with_suffix(".json").name}')
