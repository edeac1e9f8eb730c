"""The conventions of every array in lyra-sim, in one place.

| thing | rule |
|---|---|
| world | right-handed, Z up, metres; x = heading of the start camera on the floor; z = 0 on the floor at the origin; the origin is the seen floor cell nearest the camera's foot that is free for the smallest robot. `WorldFrame` keeps the transform from the source's own frame |
| camera | OpenCV axes: x right, y down, z forward. `cam_to_world` is 4x4 float64 |
| transforms | named by frame pairs, `T_world_cam`: maps camera coordinates to world coordinates |
| pixels | the centre of the top-left pixel is (0.5, 0.5); adapters add 0.5 to cx, cy of sources with integer centres |
| depth | z-depth in metres plus a `valid` mask; never ray length; where `valid` is false the value is 0 and means nothing |
| pixel origin | per pixel: measured (seen in an input), generated (drawn by a world generator), filled (painted in; never becomes geometry or free space) |
| quaternion | w, x, y, z, unit length |
| splats | after activation: metres, opacity 0..1 |
| units in names | `_m _s _rad _px _hz`; degrees only in YAML, `_deg` |
| arrays | float64 for poses and planes, float32 in bulk, int32 indices, images uint8 sRGB `T H W 3` |
| meshes | triangles, outward winding (counter-clockwise seen from free space) |
"""
