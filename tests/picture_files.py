"""Pictures of the kinds that people have, each with the pixels that every reader must find in it."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from PIL import Image, PngImagePlugin

LOSSY = {"jpg": {"quality": 95}}


def scene(height: int = 48, width: int = 64) -> np.ndarray:
    """A smooth RGB picture without symmetry, uint8 ``[H, W, 3]``."""
    y, x = np.mgrid[:height, :width]
    red, green, blue = 255 * x / width, 255 * y / height, 127 + 120 * np.sin((x + 2 * y) / 15)
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def tag(orientation: object) -> Image.Exif:
    """Exif data with the orientation given."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def raw_exif(*entries: tuple[int, int, int, bytes]) -> bytes:
    """Exif data of entries (tag, type, count, four bytes of value), whose types need not be the standard's."""
    packed = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3].ljust(4, b"\0") for entry in entries)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + packed + struct.pack("<I", 0)


def sixteen_bits(pixels: np.ndarray) -> np.ndarray:
    """The picture in 16 bits, its lower bytes filled with something else."""
    return (pixels.astype(np.uint16) << 8) + np.arange(pixels.size, dtype=np.uint16).reshape(pixels.shape) % 256


def png_of_16_bits(path, pixels: np.ndarray) -> None:
    """uint16 ``[H, W]`` or ``[H, W, 2..4]`` as a PNG of 16 bits, which Pillow writes in grey only."""
    planes = 1 if pixels.ndim == 2 else pixels.shape[2]
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[planes], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, *zip(*chunks, strict=True))))


def tiff(path, strips: list[bytes], bits: int, photometric: int, shape: tuple[int, int]) -> None:
    """A TIFF that Pillow does not write: grey of ``bits`` bits from one strip, RGB in separate planes from three."""
    entries = {256: shape[1], 257: shape[0], 259: 1, 262: photometric, 277: len(strips), 278: shape[0]}
    entries[284] = 2 if len(strips) > 1 else 1
    lists = {258: [bits] * len(strips), 279: list(map(len, strips)), 273: [8]}
    for strip in strips[:-1]:
        lists[273].append(lists[273][-1] + len(strip))
    end, packed, more = 8 + sum(map(len, strips)), b"", b""
    for number, values in sorted((lists | {number: [value] for number, value in entries.items()}).items()):
        data = struct.pack(f"<{len(values)}I", *values)
        place = data if len(values) == 1 else struct.pack("<I", end + len(more))
        packed += struct.pack("<HHI", number, 4, len(values)) + place
        more += data if len(values) > 1 else b""
    table = struct.pack("<H", len(lists) + len(entries)) + packed + struct.pack("<I", 0)
    path.write_bytes(b"II*\0" + struct.pack("<I", end + len(more)) + b"".join(strips) + more + table)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def write_kinds(folder) -> dict[str, np.ndarray]:
    """Write one file of each kind; returns name -> the RGB pixels it must be read as (lossy ones: before coding)."""
    pixels, kinds = scene(), {}
    picture, grey = Image.fromarray(pixels), Image.fromarray(pixels).convert("L")
    thrice = np.repeat(np.asarray(grey)[..., None], 3, axis=2)

    def add(name: str, image: Image.Image, expected: np.ndarray, **options) -> None:
        image.save(folder / name, **options)
        kinds[name] = expected

    for suffix in ("png", "bmp", "tif", "ppm", "PNG"):
        add(f"plain.{suffix}", picture, pixels)
    add("lossless.webp", picture, pixels, lossless=True)
    add("plain.jpg", picture, pixels, quality=95)
    add("grey.jpg", grey, thrice, quality=95)
    add("cmyk.jpg", picture.convert("CMYK"), pixels, quality=95)
    add("cmyk.tif", picture.convert("CMYK"), pixels)
    add("progressive.jpeg", picture, pixels, quality=95, progressive=True)
    add("grey.png", grey, thrice)
    alpha = Image.fromarray(np.linspace(0, 255, pixels[..., 0].size).reshape(pixels.shape[:2]).astype(np.uint8))
    add("alpha.png", Image.merge("RGBA", (*picture.split(), alpha)), pixels)
    add("grey_alpha.png", Image.merge("LA", (grey, alpha)), thrice)
    add("bit.png", grey.convert("1"), np.asarray(grey.convert("1").convert("RGB")))
    palette = picture.convert("P", palette=Image.Palette.ADAPTIVE)
    add("palette.png", palette, np.asarray(palette.convert("RGB")))
    add("palette_transparent.png", palette, np.asarray(palette.convert("RGB")), transparency=bytes(range(40)))
    add("palette.gif", palette, np.asarray(palette.convert("RGB")))
    still = {"save_all": True, "append_images": [picture.rotate(180)] * 2}
    add("moving.gif", palette, np.asarray(palette.convert("RGB")), **still)
    add("moving.png", picture, pixels, **still)
    add("pages.tif", picture, pixels, **still)
    add("sixteen_grey.png", Image.fromarray(sixteen_bits(thrice[..., 0])), thrice)
    add("sixteen_grey.tif", Image.fromarray(sixteen_bits(thrice[..., 0])), thrice)
    sixteen = sixteen_bits(thrice)[..., 0]
    tiff(folder / "white_is_zero.tif", [(65535 - sixteen).astype("<u2").tobytes()], 16, 0, grey.size[::-1])
    twelve = "".join(f"{value >> 4:012b}" for value in sixteen.ravel())
    tiff(folder / "twelve.tif", [int(twelve, 2).to_bytes(len(twelve) // 8, "big")], 12, 1, grey.size[::-1])
    kinds |= {"white_is_zero.tif": thrice, "twelve.tif": thrice}
    tiff(folder / "planes.tif", [plane.tobytes() for plane in pixels.transpose(2, 0, 1)], 8, 2, grey.size[::-1])
    kinds["planes.tif"] = pixels
    dark = np.full((48, 64), 200, np.uint16)  # no value above 255: nearly black, not a picture of 8 bits
    add("sixteen_dark.png", Image.fromarray(dark), np.zeros_like(pixels))
    for name, image in {
        "rgb": pixels,
        "rgba": np.dstack([pixels, alpha]),
        "grey_alpha": np.dstack([grey, alpha]),
    }.items():
        png_of_16_bits(folder / f"sixteen_{name}.png", sixteen_bits(image))
        kinds[f"sixteen_{name}.png"] = thrice if name == "grey_alpha" else pixels
    add("profile.png", picture, pixels, icc_profile=bytes(3 << 20))
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "long " * (1 << 19), zip=True)
    text.add_itxt("comment", "long " * (1 << 19))
    add("text.png", picture, pixels, pnginfo=text)
    stored = {n: Image.fromarray(_stored(pixels, n)) for n in range(1, 9)}
    for n, image in stored.items():
        add(f"turned{n}.png", image, pixels, exif=tag(n))
        add(f"turned{n}.jpg", image, pixels, quality=95, exif=tag(n))
        add(f"turned{n}.tif", image, pixels, tiffinfo={0x0112: n})
    upright = {
        "ascii": raw_exif((0x0112, 2, 2, b"6\0")),
        "beyond": raw_exif((0x0112, 3, 1, b"\x63")),
        "float": raw_exif((0x0112, 11, 1, b"\0\0\xc0\x40")),
        "far": raw_exif((0x0112, 2, 1 << 30, b"\xff\xff\xff\x7f")),
        "cut": raw_exif((0x0112, 3, 1, b"\6"))[:20],
        "junk": b"Exif\0\0junk",
    }
    # One entry is right and turns the picture, however wrong the others are.
    others = (0x011A, 2, 4, b"dpi"), (0x8769, 2, 4, b"ifd"), (0x8825, 3, 1, b"\xff\xff"), (0x0132, 5, 9, b"\xff\xff")
    turned = {"mistyped": raw_exif((0x0112, 3, 1, b"\6"), *others), "two": raw_exif((0x0112, 3, 2, b"\6\0\6"))}
    for suffix in ("jpg", "png"):
        for name, exif in upright.items():
            add(f"exif_{name}.{suffix}", picture, pixels, exif=exif, **LOSSY.get(suffix, {}))
        for name, exif in turned.items():
            add(f"exif_{name}.{suffix}", stored[6], pixels, exif=exif, **LOSSY.get(suffix, {}))
    return kinds


def _stored(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """How a camera stores an upright picture under this tag, by Pillow's transposition."""
    moves = Image.Transpose
    back = {2: moves.FLIP_LEFT_RIGHT, 3: moves.ROTATE_180, 4: moves.FLIP_TOP_BOTTOM, 5: moves.TRANSPOSE,
            6: moves.ROTATE_90, 7: moves.TRANSVERSE, 8: moves.ROTATE_270}  # fmt: skip
    image = Image.fromarray(pixels)
    return np.asarray(image.transpose(back[orientation]) if orientation in back else image)


def write_faulty(folder) -> dict[str, str]:
    """Write files that are no usable pictures; returns name -> what the refusal must say."""
    picture = Image.fromarray(scene())
    faults = {}
    for suffix in ("jpg", "png", "bmp", "webp", "tif", "gif"):
        whole = folder / f"whole.{suffix}"
        picture.save(whole)
        data = whole.read_bytes()
        whole.unlink()
        (folder / f"cut.{suffix}").write_bytes(data[: len(data) // 2])
        faults[f"cut.{suffix}"] = "copy it again"
    for name, data, said in (
        ("empty.jpg", b"", "empty (0 bytes)"),
        ("text.png", b"no picture", "of no kind that is known"),
        ("page.jpg", b"<!DOCTYPE html><html>", "a web page"),
        ("lfs.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        ("phone.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        ("new.jxl", b"\xff\x0a\0\0", "JPEG XL"),
    ):
        (folder / name).write_bytes(data)
        faults[name] = said
    Image.fromarray(scene()[..., 0].astype(np.float32)).save(folder / "float.tif")
    Image.fromarray(scene()[..., 0].astype(np.int32)).save(folder / "int32.tif")
    picture.save(folder / "crc.png")
    data = bytearray((folder / "crc.png").read_bytes())
    data[20] ^= 1
    (folder / "crc.png").write_bytes(data)
    (folder / "folder.png").mkdir()
    planes = [plane.astype("<u2").tobytes() for plane in sixteen_bits(scene()).transpose(2, 0, 1)]
    tiff(folder / "planes.tif", planes, 16, 2, scene().shape[:2])
    return faults | {
        "planes.tif": "separate planes",
        "float.tif": "floating-point", "int32.tif": "32-bit", "crc.png": "copy it again",
        "folder.png": "is a folder", "absent.png": "does not exist",
    }  # fmt: skip
