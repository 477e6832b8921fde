"""Forecasting `horizon` steps from `lookback` steps; the default series is procedural.

  python main.py --mode=train --config=configs/forecasting.py:lstm,dataset=ETTh1 --workdir=/tmp/etth1

On ETTh1 at lookback 336 and horizon 96 DLinear has a test MSE of 0.375 and NLinear 0.374 (Zeng et al. 2023); both by
least squares, `dlinear` and `linear` beside every evaluation, 0.370.

Your own table (docs/data.md):

  python main.py --mode=train --config=configs/forecasting.py:lstm,dataset=load.csv --workdir=/tmp/load

The hourly series of M4, where repeating the last day has sMAPE 13.912 and MASE 1.193; this LSTM 12.05 and 0.866, and
OWA 0.509 (one seed; 18 s on one core). With normalise=smoothing, a hybrid, 12.03, 0.865 and 0.508:

  python main.py --mode=train --workdir=/tmp/m4 --config=configs/forecasting.py:lstm,dataset=m4_hourly,lookback=168,\
horizon=48,channels=independent,normalise=instance,quantiles=9,patch=24,width=128,depth=1,steps=2500,batch_size=128,\
learning_rate=2e-3
"""

from ml_collections import ConfigDict

from configs.base import make
from configs.scales import Scales

SCALES: Scales = {
  'smoke': {'lookback': 96, 'horizon': 24},
  'accelerator': {'dataset': 'ETTh1', 'lookback': 336, 'horizon': 96, 'width': 256, 'steps': 5000},
}


def get_config(arg: str | None = None) -> ConfigDict:
  train = {'steps': 1000, 'learning_rate': 1e-3, 'weight_decay': 0.01}
  return make('forecasting', arg, scales=SCALES, train=train, evaluation={'free_running': -1})
