"""Attention maps: with them as weights, the values of a mixer give its outputs, whatever is masked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqmodels.context import Context, EncoderOutput
from seqmodels.layers import CrossAttention
from seqmodels.layers.draws import Draws
from seqmodels.mixers import MIXERS
from seqmodels.mixers.attention import Attention
from seqmodels.mixers.base import Mixer
from tests.cases import make
from tests.contract import close

B, T, D = 2, 14, 8
RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(B, T, D)), jnp.float32)
MASK = np.ones((B, T), bool)
MASK[0, 4:6] = MASK[1, 11:] = False
RESET = np.zeros((B, T), bool)
RESET[0, 9] = RESET[1, 3] = True
CASES = {
  'attention': ('none', 'rotary', 't5', 'alibi', 'relative'),
  'sliding_window': ('rotary', 'alibi'),
  'sparse': ('rotary', 't5'),
  'transformer_xl': ('transformer_xl',),
}
OPTIONS = {'sliding_window': {'window': 5}, 'sparse': {'stride': 4}}


def made(name, position, causal):
  own = {} if name == 'transformer_xl' else {'position': position}
  kv_heads = 2 if position == 'none' else 4
  return make(name, D, causal=causal, options={'heads': 4, 'kv_heads': kv_heads, **own, **OPTIONS.get(name, {})})


def test_these_are_the_mixers_with_maps():
  assert {name for name, kind in MIXERS.items() if issubclass(kind, Attention)} == set(CASES)
  assert {name for name, kind in MIXERS.items() if kind.attention_map is not Mixer.attention_map} == set(CASES)


@pytest.mark.parametrize('causal', [True, False], ids=['causal', 'bidirectional'])
@pytest.mark.parametrize(('name', 'position'), [(name, one) for name, found in CASES.items() for one in found])
def test_outputs_are_the_values_weighted_by_the_map(name, position, causal):
  mixer = made(name, position, causal)
  for reset, mask in ((None, None), (RESET, None), (None, MASK), (RESET, MASK)):
    real = MASK if mask is not None else np.ones((B, T), bool)
    context = jax.tree.map(jnp.asarray, Context(reset, mask))
    found, expected = jax.jit(lambda x, context: (mixer.attention_map(x, context), mixer(x, None, context)[0]))(
      X, context
    )
    values = np.repeat(np.asarray(mixer.value(X)), mixer.heads // mixer.kv_heads, axis=2)
    heads = jnp.einsum('bhts,bshv->bthv', found, values)
    close(np.asarray(mixer.output(heads))[real], np.asarray(expected)[real])
    rows = np.asarray(found).sum(-1).swapaxes(1, 2)
    close(rows[real], np.ones_like(rows[real]))
    assert not np.asarray(found).swapaxes(1, 2)[~real].any()
    assert not np.moveaxis(np.asarray(found), -1, 1)[~real].any()


def test_a_recurrent_mixer_has_none():
  assert make('lstm', D).attention_map(X) is None


def test_the_outputs_of_cross_attention_are_the_values_of_the_source_weighted_by_the_map():
  cross = CrossAttention(D, rngs=Draws(jax.random.key(0)), heads=4, kv_heads=2)
  source = jnp.asarray(RNG.normal(size=(B, 9, D)), jnp.float32)
  for mask in (None, MASK[:, 5:]):
    encoder = EncoderOutput(source, None if mask is None else jnp.asarray(mask))
    found = cross.attention_map(X, encoder)
    assert found.shape == (B, 4, T, 9)
    values = jnp.repeat(cross.read(source)['v'].swapaxes(1, 2), 2, axis=2)
    close(cross.output(jnp.einsum('bhts,bshv->bthv', found, values)), cross.attend(X, encoder, None))
    close(found.sum(-1), np.ones((B, 4, T)))
