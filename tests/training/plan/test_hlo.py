"""The collectives of compiled programs: by hand-written text, and by a program whose traffic is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from training.mesh import make_mesh
from training.mesh_settings import MeshSettings
from training.plan import hlo

# A layer scanned 24 times around a loop of 4; an asynchronous collective in three fusions; one in a wrapped call.
TEXT = """HloModule jit_step, is_scheduled=true

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[]{:T(128)} parameter(0)
  %b = f32[]{:T(128)} parameter(1)
  ROOT %sum = f32[]{:T(128)} add(%a, %b)
}

%all-reduce-scatter.1 (p: f32[512,256]) -> f32[512,128] {
  %p = f32[512,256]{1,0:T(8,128)} parameter(0)
  %all-reduce.1 = f32[512,256]{1,0:T(8,128)} all-reduce(%p), channel_id=1, to_apply=%add
  ROOT %part = f32[512,128]{1,0:T(8,128)} dynamic-slice(%all-reduce.1), dynamic_slice_sizes={512,128}
}

%start (q: bf16[64,256]) -> bf16[128,256] {
  %q = bf16[64,256]{1,0:T(8,128)(2,1)} parameter(0)
  ROOT %all-gather.1 = bf16[128,256]{1,0:T(8,128)(2,1)} all-gather(%q), channel_id=7, frontend_attributes={chain_id="0"}
}

%end (r: bf16[64,256]) -> bf16[128,256] {
  %r = bf16[64,256]{1,0:T(8,128)(2,1)} parameter(0)
  ROOT %all-gather.2 = bf16[128,256]{1,0:T(8,128)(2,1)} all-gather(%r), channel_id=7, frontend_attributes={chain_id="0"}
}

%inner_condition (i: (s32[], bf16[64,256])) -> pred[] {
  %four = s32[]{:T(128)} constant(4)
  %i = (s32[]{:T(128)}, bf16[64,256]{1,0:T(8,128)(2,1)}) parameter(0)
  %at.1 = s32[]{:T(128)} get-tuple-element(%i), index=0
  ROOT %below.1 = pred[]{:T(512)} compare(%at.1, %four), direction=LT
}

%inner (j: (s32[], bf16[64,256])) -> (s32[], bf16[64,256]) {
  %j = (s32[]{:T(128)}, bf16[64,256]{1,0:T(8,128)(2,1)}) parameter(0)
  %x.1 = bf16[64,256]{1,0:T(8,128)(2,1)} get-tuple-element(%j), index=1
  %fusion.1 = bf16[128,256]{1,0:T(8,128)(2,1)} fusion(%x.1), kind=kCustom, calls=%start
  %fusion.2 = bf16[128,256]{1,0:T(8,128)(2,1)} fusion(%x.1), kind=kCustom, calls=%end
  ROOT %out.1 = (s32[]{:T(128)}, bf16[64,256]{1,0:T(8,128)(2,1)}) tuple(%x.1, %x.1)
}

%condition (k: (s32[], bf16[64,256])) -> pred[] {
  %k = (s32[]{:T(128)}, bf16[64,256]{1,0:T(8,128)(2,1)}) parameter(0)
  ROOT %below.2 = pred[]{:T(512)} custom-call(%k), custom_call_target="x"
}

%body (l: (s32[], bf16[64,256])) -> (s32[], bf16[64,256]) {
  %l = (s32[]{:T(128)}, bf16[64,256]{1,0:T(8,128)(2,1)}) parameter(0)
  %w.1 = f32[512,256]{1,0:T(8,128)} constant({...})
  %fusion.3 = f32[512,128]{1,0:T(8,128)} fusion(%w.1), kind=kCustom, calls=%all-reduce-scatter.1
  ROOT %while.1 = (s32[]{:T(128)}, bf16[64,256]{1,0:T(8,128)(2,1)}) while(%l), condition=%inner_condition, body=%inner
}

%wrapped (m: f32[8,4]) -> f32[4,4] {
  %m = f32[8,4]{1,0} parameter(0)
  ROOT %reduce-scatter.1 = f32[4,4]{1,0} reduce-scatter(%m), channel_id=9, dimensions={0}, to_apply=%add
}

ENTRY %main (n: (s32[], bf16[64,256]), o: f32[8,4]) -> f32[4,4] {
  %n = (s32[]{:T(128)}, bf16[64,256]{1,0:T(8,128)(2,1)}) parameter(0)
  %o = f32[8,4]{1,0} parameter(1)
  %while.2 = (s32[]{:T(128)}, /*index=1*/bf16[64,256]{1,0:T(8,128)(2,1)S(1)}) while(%n), condition=%condition, \
body=%body, backend_config={"known_trip_count":{"n":"24"}}
  %ag = (f32[8,4]{1,0}, f32[16,4]{1,0}) all-gather-start(%o), channel_id=10, dimensions={0}
  %agd = f32[16,4]{1,0} all-gather-done(%ag)
  %cp = (f32[8,4]{1,0}, f32[8,4]{1,0}, u32[], u32[]) collective-permute-start(%o), source_target_pairs={{0,1},{1,0}}
  %cpd = f32[8,4]{1,0} collective-permute-done(%cp)
  %as = ((f32[8,4]{1,0}), f32[4,4]{1,0}, u32[]) async-start(%o), calls=%wrapped
  ROOT %ad = f32[4,4]{1,0} async-done(%as), calls=%wrapped
}
"""


def test_loops_multiply_and_parts_of_one_collective_count_once():
  found = sorted(hlo.collectives(TEXT))
  assert found == [
    hlo.Collective('all-gather', 1, 16 * 4 * 4),
    hlo.Collective('all-gather', 24 * 4, 128 * 256 * 2),
    hlo.Collective('collective-permute', 1, 8 * 4 * 4),
    hlo.Collective('reduce-scatter', 1, 8 * 4 * 4),
    hlo.Collective('reduce-scatter', 24, 512 * 256 * 4),
  ]
  assert hlo.bytes_by_kind(TEXT)['reduce-scatter'] == 8 * 4 * 4 + 24 * 512 * 256 * 4


def test_a_loop_of_unknown_length_counts_once():
  text = TEXT.replace(', backend_config={"known_trip_count":{"n":"24"}}', '')
  assert hlo.Collective('all-gather', 4, 128 * 256 * 2) in hlo.collectives(text)


@pytest.mark.parametrize(
  ('kind', 'size'),
  [
    ('f32[2,3]', 24),
    ('bf16[5]{0:T(8)}', 10),
    ('pred[7]', 7),
    ('(s32[], u8[4])', 8),
    ('f8e4m3fn[8]', 8),
    ('token[]', 0),
  ],
)
def test_sizes_of_types(kind, size):
  assert hlo._bytes(kind) == size


def test_a_program_of_known_traffic():
  """One product with a contracted axis on two devices: the sum is all that is sent, three times in a loop."""
  mesh = make_mesh(MeshSettings(data=2))
  along = NamedSharding(mesh, PartitionSpec(None, 'data'))
  across = NamedSharding(mesh, PartitionSpec('data', None))
  whole = NamedSharding(mesh, PartitionSpec())

  def loop(x, w):
    def body(total, _):
      return total + jnp.tanh(x + total[:, :1]) @ w, None

    return jax.lax.scan(body, jnp.zeros((4, 6), np.float32), None, length=3)[0]

  shapes = jax.ShapeDtypeStruct((4, 8), np.float32), jax.ShapeDtypeStruct((8, 6), np.float32)
  program = jax.jit(loop, in_shardings=(along, across), out_shardings=whole).lower(*shapes).compile()
  assert hlo.bytes_by_kind(program.as_text()) == {'all-reduce': 3 * 4 * 6 * 4}
