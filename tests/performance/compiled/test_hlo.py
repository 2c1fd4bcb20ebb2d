import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from seedance_jax import sharding
from seedance_jax.performance.compiled import hlo

ASYNC = """\
HloModule step

%async_computation (p: bf16[8,16]) -> bf16[8,16] {
  %p = bf16[8,16]{1,0} parameter(0)
  ROOT %a2a = bf16[8,16]{1,0} all-to-all(%p), replica_groups={{0,1},{2,3}}, dimensions={0}
}

%body (c: (s32[], bf16[8,16])) -> (s32[], bf16[8,16]) {
  %start = ((bf16[8,16]{1,0}), bf16[8,16]{1,0}) async-start(%x), calls=%async_computation
  %done = bf16[8,16]{1,0} async-done(%start)
  %g = (bf16[8,16]{1,0}, bf16[8,64]{1,0:T(8,128)}) all-gather-start(%x), replica_groups=[1,4]<=[4]
}

%condition (c: (s32[], bf16[8,16])) -> pred[] {
  ROOT %less = pred[] compare(%i, %n), direction=LT
}

ENTRY %main (x: bf16[8,16]) -> bf16[8,16] {
  %w = (s32[], bf16[8,16]) while(%t), condition=%condition, body=%body, TRIPS
  %r = f32[4]{0} all-reduce(%y), replica_groups={{0,1,2,3}}, to_apply=%add
  %p = f32[4]{0} all-reduce(%r), replica_groups=mesh['a'=2,'b'=4], device_ids=(T(1,0)) {'b':(1)2}
}
""".replace("TRIPS", 'backend_config={"known_trip_count":{"n":"3"}}')


def test_collectives_of_loops_and_asynchronous_ones_are_counted():
    *found, part = hlo.collectives(ASYNC, 4)
    assert part == ("all-reduce", 16, 2, 1, False)
    found = {one.kind: one for one in found}
    assert found["all-to-all"] == ("all-to-all", 256, 2, 3, True)
    assert found["all-gather"] == ("all-gather", 1024, 4, 3, True)
    assert found["all-reduce"] == ("all-reduce", 16, 4, 1, False)
    assert found["all-to-all"].sent == 3 * 128
    assert found["all-gather"].sent == 3 * 768
    assert hlo.summarize(found.values())["all-reduce"] == (1, 24)


def test_collectives_of_a_compiled_program_are_what_was_asked_for():
    mesh = sharding.make_mesh(sequence=4, data=2)

    def step(x):
        def body(x, _):
            x = jax.lax.with_sharding_constraint(jnp.sin(x), NamedSharding(mesh, P("sequence")))
            x = jax.lax.with_sharding_constraint(x, NamedSharding(mesh, P(None, "sequence")))
            return jnp.cos(x), None

        return jax.lax.scan(body, x, length=5)[0]

    layout = NamedSharding(mesh, P(None, "sequence"))
    shape = jax.ShapeDtypeStruct((8, 8), jnp.float32, sharding=layout)
    text = jax.jit(step).lower(shape).compile().as_text()
    found = hlo.summarize(hlo.collectives(text, 8))
    # Two in each step of the loop and one before it; four devices share in 256 bytes.
    assert found == {"all-to-all": (11, 11 * 64 * 3 // 4)}


ON_TPU = """\
HloModule step

%condition.1 (c: (s32[], bf16[8,16])) -> pred[] {
  %limit = s32[]{:T(128)} constant(LIMIT)
  %c = (s32[]{:T(128)}, bf16[8,16]{1,0}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%c), index=0
  ROOT %less = pred[]{:T(512)} compare(%i, %limit), direction=LT
}

%all-reduce-scatter.2 (p: bf16[8,16]) -> bf16[2,16] {
  %p = bf16[8,16]{1,0} parameter(0)
  %r = bf16[8,16]{1,0} all-reduce(%p), channel_id=3, replica_groups={{0,1,2,3}}, to_apply=%add
  ROOT %mine = bf16[2,16]{1,0} dynamic-slice(%r, %n, %zero), dynamic_slice_sizes={2,16}
}

%first (p: bf16[8,4]) -> bf16[8,16] {
  %p = bf16[8,4]{1,0} parameter(0)
  ROOT %g = bf16[8,16]{1,0} all-gather(%p), channel_id=4, replica_groups={{0,1,2,3}}, STAGED
}

%second (p: bf16[8,4]) -> bf16[8,16] {
  %p = bf16[8,4]{1,0} parameter(0)
  ROOT %g = bf16[8,16]{1,0} all-gather(%p), channel_id=4, replica_groups={{0,1,2,3}}, STAGED
}

%body.1 (c: (s32[], bf16[8,16])) -> (s32[], bf16[8,16]) {
  %c = (s32[]{:T(128)}, bf16[8,16]{1,0}) parameter(0)
  %j = s32[]{:T(128)} get-tuple-element(%c), index=0
  %two = s32[]{:T(128)} constant(2)
  %sum = s32[]{:T(128)} add(%j, %two)
  %next = s32[]{:T(128)} copy(%sum)
  %s = bf16[2,16]{1,0} fusion(%x), kind=kCustom, calls=%all-reduce-scatter.2
  %a = bf16[8,16]{1,0} fusion(%x), kind=kCustom, calls=%first
  %b = bf16[8,16]{1,0} fusion(%x), kind=kCustom, calls=%second
  %o = ((bf16[4,4]{1,0}), bf16[4,4]{1,0}, u32[], u32[]) all-to-all-start(%x), replica_groups={{0,1}}
  ROOT %t = (s32[]{:T(128)}, bf16[8,16]{1,0}) tuple(%next, %b)
}

ENTRY %main (x: bf16[8,16]) -> bf16[8,16] {
  %zero = s32[]{:T(128)} constant(1)
  %copy = s32[]{:T(128)} copy(%zero)
  %t = (s32[]{:T(128)}, bf16[8,16]{1,0}) tuple(%copy, %x)
  %w = (s32[]{:T(128)}, bf16[8,16]{1,0}) while(%t), condition=%condition.1, body=%body.1
}
""".replace("STAGED", 'backend_config={"async_collective_fusion_config":{"flag_start":"2"}}')


def test_the_loops_and_fused_collectives_of_a_tpu_are_read():
    found = hlo.collectives(ON_TPU.replace("LIMIT", "8"), 4)  # 1, 3, 5, 7
    assert found == [
        ("reduce-scatter", 64, 4, 4, True),
        ("all-gather", 256, 4, 4, True),  # once, however many computations it runs beside
        ("all-to-all", 32, 2, 4, True),
    ]
    with pytest.raises(ValueError, match="a loop of unknown length: %w = "):
        hlo.collectives(ON_TPU.replace("constant(LIMIT)", "parameter(1)"), 4)
