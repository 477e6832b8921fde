"""Answer a question about a distant frame: which digit was shown in the frame with a white border?

A digit moves through the video as in `video`, and is another one in every frame. One frame of the first half has a
border of white pixels: its digit is the answer, at the end of the video.
"""

from dataclasses import dataclass

import numpy as np

from seqmodels.spec import Spec
from tasks import bags, draws, moving_digits
from tasks.base import Batch, Evaluation
from tasks.frames import LONGEST, Frames
from tasks.label_task import BASELINE_EXAMPLES, LabelTask

DIGITS = 10
WHITE = 255


@dataclass(frozen=True)
class VideoQuestion(LabelTask, Frames):
  """Read `frames` frames and say which digit was shown in the marked one, half of them or more ago."""

  @property
  def spec(self) -> Spec:
    return self.spec_of(self.vectors, DIGITS, self.frames * self.tokens_of_frame)

  def _drawn(self, split: str, indices: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the words of the trajectories, the number of the image in each frame, and of the marked frame."""
    words = draws.words(self.key(split, seed), indices, moving_digits.WORDS + 1 + self.frames)
    which = draws.integers(words[:, moving_digits.WORDS + 1 :], len(self.glyphs(split).images))
    marked = draws.integers(words[:, moving_digits.WORDS : moving_digits.WORDS + 1], self.frames // 2)[:, 0]
    return words[:, : moving_digits.WORDS], which, marked

  def arrays(self, split: str, indices: np.ndarray, seed: int = 0) -> Batch:
    words, which, marked = self._drawn(split, indices, seed)
    images, labels = self.glyphs(split)
    video = moving_digits.draw(images[which][:, None], moving_digits.trajectories(words, self.frames), self.size)
    rows = np.arange(len(indices))
    for border in ((0,), (-1,), (slice(None), 0), (slice(None), -1)):
      video[(rows, marked, *border)] = WHITE
    answers = labels[which[rows, marked]].astype(np.int32)
    return Batch(self.tokens(video), answers, np.ones(len(indices), np.float32))

  @property
  def is_image(self) -> bool:
    return True

  def read_as(self, inputs: np.ndarray) -> np.ndarray:
    """Return the frames side by side."""
    return np.concatenate(list(self.pixels(inputs[None])[0]), axis=1)

  def evaluations(self) -> dict[str, Evaluation]:
    """Return validation and test, and `longer`: twice as many frames."""
    return super().evaluations() | {'longer': Evaluation('test', {'frames': min(2 * self.frames, LONGEST)})}

  def baselines(self) -> dict[str, dict[str, float]]:
    """Return the scores of the class frequencies."""
    answers, seen = {}, min(BASELINE_EXAMPLES, self.count('train') or BASELINE_EXAMPLES)
    for split, count in (('train', seen), ('test', self.count('test'))):
      _, which, marked = self._drawn(split, np.arange(count), 0)
      answers[split] = self.glyphs(split).labels[which[np.arange(count), marked]].astype(np.int64)
    prior = np.tile(bags.log_prior(answers['train'], DIGITS), (len(answers['test']), 1))
    return {'majority class': bags.scores(prior, answers['test'])}
