"""Load an article by its name, or from a folder outside the package, and check it. Imports no JAX.

A folder outside is executed as Python, since judges are code: load only what you would run.
"""

import dataclasses
import hashlib
import importlib
import importlib.util
import pathlib
import re
import shlex
import sys
import traceback
import types
from collections.abc import Collection

from comparison.claims.article import Article
from comparison.claims.base import Claim
from seqmodels.errors import InputError, cut, one_line, shown, unknown

FIRST = 'transformer_vs_rnn'  # its rows in records say nothing of an article
FILES = ('article.py', '__init__.py')  # the first that is there defines ARTICLE
FOLDER = pathlib.Path(__file__).parent


def names() -> tuple[str, ...]:
  """Return the names of the articles in the package, the first one first."""
  found = {path.parent.name for name in FILES for path in FOLDER.glob(f'*/{name}')}
  return (FIRST, *sorted(found - {FIRST}))


def load(name_or_path: str = FIRST, experiments: Collection[str] | None = None) -> Article:
  """Return the article of that name, or of that folder, which is executed as Python.

  experiments: the names of the project's own, which claims may need; None: they are not checked.

  Raises InputError for an unknown name, and for a folder whose article is missing, cannot be executed or is wrong.
  """
  label = f'--article={shown(name_or_path)}'
  packaged = name_or_path if name_or_path in names() else None
  if packaged is not None:
    package, module = f'comparison.articles.{packaged}', imported(packaged)
  else:
    folder = pathlib.Path(name_or_path)
    if not folder.is_dir():
      hint = one_line(unknown('--article', name_or_path, names()))
      raise InputError(f'{hint}; or a folder with {FILES[0]} that defines ARTICLE')
    module = execute(folder, label)
    package = module.__name__
  article = getattr(module, 'ARTICLE', None)
  if not isinstance(article, Article):
    raise InputError(f'{label}: {pathlib.Path(str(module.__file__)).name} must define ARTICLE, an Article')
  brings = getattr(module, 'EXPERIMENTS', {})
  if not isinstance(brings, dict) or not all(re.fullmatch(r'[\w.]+:\w+', str(place)) for place in brings.values()):
    raise InputError(f"{label}: EXPERIMENTS must be a dict of names and places, {{'name': 'module:Class'}}")
  option = '' if packaged == FIRST else f' --article={shlex.quote(name_or_path)}'
  article = dataclasses.replace(article, brings=brings, package=package, option=option)
  if (problem := wrong(article, experiments, packaged)) is not None:
    raise InputError(f'{label}: {problem}')
  return article


def imported(name: str) -> types.ModuleType:
  """Return the module of an article of the package that defines it."""
  file = next(file for file in FILES if (FOLDER / name / file).is_file())
  suffix = '' if file == '__init__.py' else f'.{file.removesuffix(".py")}'
  return importlib.import_module(f'comparison.articles.{name}{suffix}')


def execute(folder: pathlib.Path, label: str) -> types.ModuleType:
  """Return the module of a folder, executed as a package, so that it can import its other files by `from . import`."""
  path = next((path for name in FILES if (path := folder / name).is_file()), None)
  if path is None:
    raise InputError(f'{label} must hold {FILES[0]}, which defines ARTICLE')
  name = f'article_{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]}'
  for loaded in [key for key in sys.modules if key == name or key.startswith(f'{name}.')]:
    del sys.modules[loaded]
  spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=[str(folder)])
  assert spec is not None
  assert spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  sys.modules[name] = module  # where dataclasses look up their annotations, and imports the other files
  try:
    spec.loader.exec_module(module)
  except Exception as error:
    raise InputError(f'{label}: {place(error, folder)}{type(error).__name__}: {cut(one_line(error))}') from error
  return module


def place(error: BaseException, folder: pathlib.Path) -> str:
  """Return the last line of the folder's files in a traceback: `article.py, line 3: `."""
  if isinstance(error, SyntaxError):
    return f'{pathlib.Path(error.filename or "?").name}, line {error.lineno}: '
  frames = traceback.extract_tb(error.__traceback__)
  inside = [frame for frame in frames if pathlib.Path(frame.filename).resolve().parent == folder.resolve()]
  return f'{pathlib.Path(inside[-1].filename).name}, line {inside[-1].lineno}: ' if inside else ''


def wrong(article: Article, experiments: Collection[str] | None, packaged: str | None = None) -> str | None:
  """Return what is wrong with an article, if anything. packaged: the name of its folder in the package."""
  if not re.fullmatch('[a-z][a-z0-9_]*', article.name):
    return f'name={shown(article.name)} must be lower-case letters, digits and underscores'
  if packaged is not None and article.name != packaged:
    return f'name={shown(article.name)} must be that of its folder, {packaged}'
  if packaged is None and article.name in names():
    return f'name={shown(article.name)} is that of an article of the package; choose another'
  if not article.claims:
    return 'claims is empty; an article has at least one'
  for number, statement in article.statements.items():
    if statement.number != number:
      return f'statement {statement.number} stands under the number {number}; use numbered(…)'
    if statement.section not in article.sections:
      return f'statement {number}: section={shown(statement.section)} is none of sections'
  for number, claim in article.claims.items():
    if not isinstance(claim, Claim) or claim.number != number:
      return f'claim {number} stands under another number than its own; use numbered(…)'
    if number not in article.statements:
      return f'claim {number} has no statement of this number'
  return unknown_experiment(article, experiments)


def unknown_experiment(article: Article, experiments: Collection[str] | None) -> str | None:
  """Return which experiment does not exist, or exists twice."""
  if experiments is None:
    return None
  if twice := sorted(set(article.brings) & set(experiments)):
    return f'EXPERIMENTS: {twice[0]} is the name of an experiment of the project; choose another'
  known = (*experiments, *article.brings)
  for claim in article.claims.values():
    for name in (*claim.experiments, *claim.beside):
      if name not in known:
        return f'claim {claim.number}: {one_line(unknown("experiment", name, known))}'
  return None
