"""List the tasks. To add one, write its class (see base.py and pipeline.py) and add a line to TASKS."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from seqmodels.errors import unknown
from seqmodels.fields import check
from tasks.adding import Adding
from tasks.base import Task
from tasks.classification import Classification
from tasks.copying import Copying
from tasks.delay import Delay
from tasks.forecasting import Forecasting
from tasks.formal_languages import FormalLanguages
from tasks.induction_heads import InductionHeads
from tasks.language import Language
from tasks.listops import ListOps
from tasks.recall import Recall
from tasks.reversal import Reversal
from tasks.selective_copying import SelectiveCopying
from tasks.speech_frames import SpeechFrames
from tasks.speech_recognition import SpeechRecognition
from tasks.speech_synthesis import SpeechSynthesis
from tasks.state_tracking import StateTracking
from tasks.temporal_order import TemporalOrder
from tasks.text_classification import TextClassification
from tasks.translation import Translation
from tasks.video import Video
from tasks.video_question import VideoQuestion

TASKS: dict[str, type[Task]] = {
  'adding': Adding,
  'classification': Classification,
  'copying': Copying,
  'delay': Delay,
  'forecasting': Forecasting,
  'formal_languages': FormalLanguages,
  'induction_heads': InductionHeads,
  'language': Language,
  'listops': ListOps,
  'recall': Recall,
  'reversal': Reversal,
  'selective_copying': SelectiveCopying,
  'speech_frames': SpeechFrames,
  'speech_recognition': SpeechRecognition,
  'speech_synthesis': SpeechSynthesis,
  'state_tracking': StateTracking,
  'temporal_order': TemporalOrder,
  'text_classification': TextClassification,
  'translation': Translation,
  'video': Video,
  'video_question': VideoQuestion,
}


def options(name: str) -> dict[str, Any]:
  """Return each option of a task with its default. Raises InputError for an unknown task."""
  return {option: field.default for option, field in _fields(name).items()}


def make(name: str, options: Mapping[str, Any]) -> Task:
  """Return the task `name`; an option that is not given keeps its default.

  Raises InputError for an unknown task or option, a value of another type, or one that makes no sense.
  """
  fields = _fields(name)
  values = {}
  for option, value in options.items():
    if option not in fields:
      raise unknown('task option', option, fields)
    values[fields[option].name] = check(f'task.{option}', value, type(fields[option].default))
  return TASKS[name](**values)


def _fields(name: str) -> dict[str, dataclasses.Field]:
  """Return option → field.

  A field's metadata names its option where that differs (`dataset` is a method), or None for a field that is no option.
  """
  if name not in TASKS:
    raise unknown('task', name, TASKS)
  named = {field.metadata.get('option', field.name): field for field in dataclasses.fields(TASKS[name])}  # type: ignore[arg-type]
  return {option: field for option, field in named.items() if option is not None}
