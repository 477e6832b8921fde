"""Run the notebooks cell by cell, from their folder."""

import json
import pathlib

import pytest

NOTEBOOKS = sorted((pathlib.Path(__file__).parent.parent / 'examples').glob('*.ipynb'))


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, monkeypatch, capsys):
  monkeypatch.chdir(path.parent)
  notebook = json.loads(path.read_text())
  names: dict = {'__name__': '__main__'}
  for cell in notebook['cells']:
    if cell['cell_type'] == 'code':
      assert not cell['outputs'], 'commit notebooks without outputs'
      exec(compile(''.join(cell['source']), f'{path.name} {cell["id"]}', 'exec'), names)
  assert '# ' in ''.join(notebook['cells'][0]['source'])
  if path.stem == 'quickstart':
    assert names['losses'][0] > 4  # ln 128 = 4.85
    assert all(loss < 2.9 for loss, *_ in names['results'].values())
    assert len(names['written']) == 40
    assert capsys.readouterr().out.count('largest difference') == 2
