"""Layers that mixers and blocks are made of. Every parameter names its axes."""

from seqmodels.layers.convolution import CausalConvolution
from seqmodels.layers.cross_attention import CrossAttention
from seqmodels.layers.dense import Dense, HeadDense
from seqmodels.layers.dropout import dropout
from seqmodels.layers.embed import Embed
from seqmodels.layers.mlp import MLP
from seqmodels.layers.norm import Norm, normalize
from seqmodels.layers.parameter import axes_of, parameter

__all__ = [
  'MLP',
  'CausalConvolution',
  'CrossAttention',
  'Dense',
  'Embed',
  'HeadDense',
  'Norm',
  'axes_of',
  'dropout',
  'normalize',
  'parameter',
]
