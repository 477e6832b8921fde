"""Forecasting `horizon` steps from `lookback` steps; the default series is procedural.

  python main.py --mode=train --config=configs/forecasting.py:lstm,dataset=ETTh1 --workdir=/tmp/etth1

On ETTh1 at lookback 336 and horizon 96 a linear map reaches a test MSE of 0.375 (Zeng et al. 2023); ours is
printed beside.

Your own table (docs/data.md):

  python main.py --mode=train --config=configs/forecasting.py:lstm,dataset=load.csv --workdir=/tmp/load

The hourly series of M4, where repeating the last day has sMAPE 13.912 and MASE 1.193; this LSTM 13.28 and 1.240 (one
seed; 40 s on two CPU cores):

  python main.py --mode=train --workdir=/tmp/m4 --config=configs/forecasting.py:lstm,dataset=m4_hourly,lookback=168,\
horizon=48,channels=independent,normalise=last,patch=24,width=128,depth=1,steps=2500,batch_size=128,learning_rate=2e-3
"""

from ml_collections import ConfigDict

from configs.base import make

SCALES = {
  'smoke': {'lookback': 96, 'horizon': 24},
  'accelerator': {'dataset': 'ETTh1', 'lookback': 336, 'horizon': 96, 'width': 256, 'steps': 5000},
}


def get_config(arg: str | None = None) -> ConfigDict:
  return make('forecasting', arg, scales=SCALES, train={'steps': 1000, 'learning_rate': 1e-3, 'weight_decay': 0.01})
