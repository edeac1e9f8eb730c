"""What kind of image a file holds, judged by its first bytes alone; nothing is decoded."""

from typing import Literal

ImageKind = Literal["jpeg", "png", "gif", "webp", "tiff", "bmp", "ppm", "avif", "heic", "jpeg2000", "openexr", "hdr"]

HEAD_BYTES = 64
"""How many bytes `image_kind` wants to see."""
SIGNATURES: tuple[tuple[bytes, ImageKind], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "jpeg2000"),
    (b"\xff\x4f\xff\x51", "jpeg2000"),
    (b"\x76\x2f\x31\x01", "openexr"),
    (b"#?RADIANCE", "hdr"),
    (b"#?RGBE", "hdr"),
)
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"mif1", b"msf1")
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp")
OTHER_SUFFIXES = (".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".heic", ".heif", ".hif", ".jp2", ".j2k")
RAW_SUFFIXES = frozenset((".dng", ".nef", ".cr2", ".cr3", ".arw", ".orf", ".rw2", ".raf"))
"""Camera raw files: TIFF inside, of which only a thumbnail would be read."""
IMAGE_SUFFIXES = frozenset((*PHOTO_SUFFIXES, *OTHER_SUFFIXES, *RAW_SUFFIXES))
"""Endings by which a file name claims to be a photo. Radiance and OpenEXR maps claim to be light, not photos."""


def image_kind(head: bytes) -> ImageKind | None:
    """The kind of image that a file with these first bytes (64 are enough) holds, None where it is no known kind."""
    for signature, kind in SIGNATURES:
        if head.startswith(signature):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        brands = (head[8:12], *(head[i : i + 4] for i in range(16, min(len(head), head[3]), 4)))
        if any(brand in (b"avif", b"avis") for brand in brands):
            return "avif"
        if any(brand in HEIF_BRANDS for brand in brands):
            return "heic"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3] in b" \t\r\n#" and len(head) > 6:
        return "ppm"
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0" and head[14:18] in (b"\x0c\0\0\0", b"\x28\0\0\0"):
        return "bmp"
    return "bmp" if head[:2] == b"BM" and head[14:18] in (b"\x6c\0\0\0", b"\x7c\0\0\0") else None
