"""An article: its statements, the claims that test them, and tables of its own for the report."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, TypeVar

from comparison.claims.base import Claim
from comparison.claims.tables import Table
from comparison.records import Row

Where = Literal['C', 'G', 'C/G']  # C: two CPU cores are enough; G: needs an accelerator; C/G: both, with the same code


class Statement(NamedTuple):
  """A statement of an article in our words: its number, section and text, and where it can be tested."""

  number: int
  section: str
  text: str
  where: Where


def no_tables(records: Sequence[Row]) -> tuple[Table, ...]:
  """Return no tables, as an article does that has none of its own."""
  del records
  return ()


@dataclass(frozen=True)
class Article:
  """Declaration of the statements of an article and of the claims that test them, under their numbers.

  name: in lower-case letters, digits and underscores; records of other articles keep it. title: the heading of the
  report. reference: author, title, year, address. sections: in the order of the article. tables: what the report shows
  first, made of the records of one comparison.
  """

  name: str
  title: str
  reference: str
  sections: tuple[str, ...]
  statements: Mapping[int, Statement]
  claims: Mapping[int, Claim]
  tables: Callable[[Sequence[Row]], Sequence[Table]] = no_tables
  brings: Mapping[str, str] = field(default_factory=dict)  # experiments of its own: name → 'module:Class'
  package: str = ''  # where their modules are
  option: str = ''  # what repeats it on a command line: ` --article=…`, or nothing for the first article

  @property
  def experiments(self) -> frozenset[str]:
    """Return the names of the experiments that the claims need or show beside."""
    return frozenset(name for claim in self.claims.values() for name in (*claim.experiments, *claim.beside))


class Numbered(Protocol):
  @property
  def number(self) -> int: ...


N = TypeVar('N', bound=Numbered)


def numbered(items: Iterable[N]) -> dict[int, N]:
  """Return number → item, sorted. Raises ValueError if two items have the same number."""
  found: dict[int, N] = {}
  for item in items:
    if item.number in found:
      raise ValueError(f'number={item.number} is given twice')
    found[item.number] = item
  return dict(sorted(found.items()))
