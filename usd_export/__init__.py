"""The writer, the reader and the validator of USD scenes: the only package that imports pxr."""
