"""Codecs: records, images, video, meshes to and from files. Owns formats; does not own meaning."""
