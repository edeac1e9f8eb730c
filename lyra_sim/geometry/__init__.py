"""Pure functions of arrays: cameras, rotations, planes, grids, rays. Owns no state and touches no file."""
