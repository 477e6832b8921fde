"""One notation for the package: axis letters and the array types made from them.

  b batch            t time (this segment)     s source or memory time
  d model width      h heads                   g key/value heads (h is a multiple of g)
  k key width/head   v value width/head        e recurrent width
  n vocabulary or output size                  l layers

Arrays are `[b t ...]`: batch first, then time. Shapes are jaxtyping annotations on public functions; the test suite
checks them at run time (jaxtyping's import hook with beartype).
"""

from typing import Any

import jax
from jaxtyping import Array, Bool, Float, Int

Params = dict[str, Any]  # a nested dict of arrays, as nnx.to_pure_dict gives it: stable keys, safe to checkpoint
State = Any  # a pytree of arrays: what a layer or a model must remember of everything before this segment
Key = jax.Array

TokenIds = Int[Array, 'b t']
Activations = Float[Array, 'b t d']
Flags = Bool[Array, 'b t']

BATCH = 'batch'  # the name of the axis of the rows
