from seedance_jax.performance.compiled.traffic import traffic


def test_traffic_counts_loops_and_neither_fused_nor_fast_results():
    text = """\
HloModule step

%fused (p: f32[16]) -> f32[16] {
  %p = f32[16]{0} parameter(0)
  ROOT %s = f32[16]{0} sine(%p)
}

%body (c: (s32[], f32[16])) -> (s32[], f32[16]) {
  %x = f32[16]{0} get-tuple-element(%c), index=1
  %f = f32[16]{0} fusion(%x), kind=kLoop, calls=%fused
  %near = f32[16]{0:T(128)S(1)} copy(%f)
}

ENTRY %main (x: f32[16]) -> f32[16] {
  %x = f32[16]{0} parameter(0)
  %w = (s32[], f32[16]) while(%t), condition=%c, body=%body, TRIPS
  ROOT %r = f32[4]{0} slice(%x), slice={[0:4]}
}
""".replace("TRIPS", 'backend_config={"known_trip_count":{"n":"3"}}')
    in_loop = (64 + 64) + 64  # the fusion, and what the copy reads
    assert traffic(text) == 3 * in_loop + 64 + 16


def test_of_what_is_sliced_or_updated_in_place_the_slice_moves():
    text = """\
HloModule step

%slice (p: f32[8,16], i: s32[]) -> f32[1,16] {
  %p = f32[8,16]{1,0} parameter(0)
  %i = s32[] parameter(1)
  ROOT %s = f32[1,16]{1,0} dynamic-slice(%p, %i, %i), dynamic_slice_sizes={1,16}
}

%scale (p: f32[8,16], i: s32[], x: f32[1,16]) -> f32[1,16] {
  %p = f32[8,16]{1,0} parameter(0)
  %i = s32[] parameter(1)
  %x = f32[1,16]{1,0} parameter(2)
  %s = f32[1,16]{1,0} fusion(%p, %i), kind=kLoop, calls=%slice
  ROOT %m = f32[1,16]{1,0} multiply(%s, %x)
}

%update (p: f32[8,16], i: s32[], x: f32[1,16]) -> (f32[8,16], f32[1,16]) {
  %p = f32[8,16]{1,0} parameter(0)
  %i = s32[] parameter(1)
  %x = f32[1,16]{1,0} parameter(2)
  %y = f32[1,16]{1,0} sine(%x)
  %u = f32[8,16]{1,0} dynamic-update-slice(%p, %y, %i, %i)
  ROOT %t = (f32[8,16]{1,0}, f32[1,16]{1,0}) tuple(%u, %y)
}

ENTRY %main (w: f32[8,16], i: s32[], x: f32[1,16]) -> f32[8,16] {
  %w = f32[8,16]{1,0} parameter(0)
  %i = s32[] parameter(1)
  %x = f32[1,16]{1,0} parameter(2)
  %m = f32[1,16]{1,0} fusion(%w, %i, %x), kind=kLoop, calls=%scale
  %u = (f32[8,16]{1,0}, f32[1,16]{1,0}) fusion(%w, %i, %m), kind=kLoop, calls=%update
  %c = f32[8,16]{1,0} get-tuple-element(%u), index=0
  ROOT %d = f32[1,16]{1,0} dynamic-slice(%c, %i, %i), dynamic_slice_sizes={1,16}
}
"""
    row, number = 64, 4
    scaled = row + number + row + row  # its row of the weights, where, the other factor, the result
    updated = number + row + row + row  # where, the row in, the row of the array, the other result
    assert traffic(text) == scaled + updated + 2 * row
