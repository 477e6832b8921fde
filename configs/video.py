"""Predicting the next frames of moving digits, 10 → 10; the default digits are made up.

python main.py --mode=train --config=configs/video.py:conv_lstm --workdir=/tmp/video
"""

from ml_collections import ConfigDict

from configs.base import make


def get_config(arg: str | None = None) -> ConfigDict:
  return make('video', arg)
