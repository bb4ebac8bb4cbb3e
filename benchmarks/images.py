"""The one decoder: any picture file as upright RGB, any label map as upright indices, in every benchmark and check.

One answer for each kind of file. *Exif*: pixels and label maps are turned upright by their own orientation tag; a tag
that is mistyped or broken counts as none. *16 bits* keep their upper byte, as libpng, OpenCV and Pillow do with
colours (samples of 12 bits their upper eight). *Palettes* are looked up; *transparency* is dropped, not composited, as
``convert("RGB")`` of the published loaders does; *colour profiles* are ignored, as there. CMYK and YCCK become RGB by
Pillow's formula. Of *animations* and several pages the first counts. Floating-point and 32-bit pixels have no agreed
range and are refused, as are pictures that are cut off, empty, or of a kind that Pillow does not know.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from PIL import Image, PngImagePlugin

from benchmarks.errors import InputError
from benchmarks.files import require_file
from benchmarks.progress import Progress

#: Pixels beyond which a picture is refused: 2 GiB in Pillow and 1.5 GiB as the array.
MOST_PIXELS = 2**29

# Pillow takes big pictures and long text or profile chunks for attacks, at 179 megapixels and 1 MiB. Our bounds are
# MOST_PIXELS, and for chunks what no program writes.
Image.MAX_IMAGE_PIXELS = None
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 2**28
# What Pillow thinks of odd metadata helps nobody who judges weights, and would stand between our lines.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

#: First bytes of what people take for pictures: (offset, bytes, what it is, what to do).
_STRANGERS = (
    (0, b"version https://git-lfs", "a Git LFS pointer, not the picture itself", "run git lfs pull"),
    (4, b"ftypavif", "AVIF, which this Pillow does not decode", "convert it to PNG or JPEG, or update Pillow"),
    (4, b"ftyp", "HEIC or a film, which is not decoded as a picture", "convert it to PNG or JPEG"),
    (0, b"\xff\x0a", "JPEG XL, which is not decoded here", "convert it to PNG or JPEG"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL, which is not decoded here", "convert it to PNG or JPEG"),
    (0, b"<", "text (a web page or an SVG), not a picture", "fetch the picture again"),
)

File = TypeVar("File", bound=str | os.PathLike[str])
Result = TypeVar("Result")

_ORIENTATION = 0x0112
_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_PLANES = 258, 262, 284
_WHITE_IS_ZERO, _SEPARATE = 0, 2


def read_rgb(path: str | os.PathLike[str]) -> np.ndarray:
    """A picture of any kind, upright: RGB uint8 ``[H, W, 3]``, decoded by Pillow.

    :class:`InputError` says in one line what is wrong with a file that cannot be used, and what to do.
    """
    with _decoding(path) as image:
        image.load()
        if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
            raise InputError(
                f"{path} has {'floating-point' if image.mode == 'F' else '32-bit'} pixels, which have no agreed range: "
                "convert it to 8 bits"
            )
        tags = getattr(image, "tag_v2", {})
        if tags.get(_TIFF_PLANES) == _SEPARATE and max(tags[_TIFF_BITS]) > 8 and len(tags[_TIFF_BITS]) > 1:
            raise InputError(
                f"{path} has 16-bit colours in separate planes, which Pillow misreads: convert it to 8 bits"
            )
        plain = _upper_bits(image) if image.mode.startswith("I") else image
        if plain.mode == "P" and "transparency" in plain.info:
            plain = plain.convert("RGBA")
        return _turn(np.array(plain.convert("RGB")), _orientation(image))


def read_bgr(path: str | os.PathLike[str]) -> np.ndarray:
    """:func:`read_rgb` in OpenCV's order, BGR uint8 ``[H, W, 3]``, with JPEGs decoded by OpenCV.

    That is the decoder of the published DAVIS script. What is no ordinary JPEG (CMYK, PNG, ...) has one answer only.
    """
    with _decoding(path) as image:
        ordinary = image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB")
        orientation = _orientation(image) if ordinary else 1
        if ordinary:
            data = Path(path).read_bytes()
            if not data.rstrip(b"\0").endswith(b"\xff\xd9"):
                image.load()  # OpenCV fills the missing rest of a file with grey and goes on; Pillow refuses
    if not ordinary:
        return np.ascontiguousarray(read_rgb(path)[:, :, ::-1])
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise InputError(f"{path} is not a picture that OpenCV can read: copy it again")
    return _turn(pixels, orientation)


def read_labels(path: str | os.PathLike[str]) -> np.ndarray:
    """A label map, upright: its indices ``[H, W]``, uint8, or uint16 where the file has 16 bits. Nothing is scaled.

    :class:`InputError` for colours in place of indices, for lossy compression, and for what :func:`read_rgb` refuses.
    """
    with _decoding(path, "label map") as image:
        image.load()
        if image.format in ("JPEG", "MPO", "JPEG2000"):
            raise InputError(f"{path} is a {image.format}, whose compression changes labels: give PNGs made anew")
        if image.mode not in ("L", "P", "1") and not _is_16_bit(image):
            raise InputError(f"{path} holds {image.mode} colours, not label indices: give one index a pixel, as a PNG")
        kind = np.uint16 if _is_16_bit(image) else np.uint8
        return _turn(np.array(image).astype(kind), _orientation(image))


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(height, width) of the upright picture; of a JPEG no more than the header is read."""
    with _decoding(path) as image:
        if image.format not in ("JPEG", "MPO"):
            image.load()  # the tag may lie behind the pixels
        width, height = image.size
        return (width, height) if _orientation(image) >= 5 else (height, width)


def orientation(path: str | os.PathLike[str]) -> int:
    """By how much a picture's stored pixels have to be turned: Exif's 1 (upright) to 8; 5 to 8 swap the sides."""
    with _decoding(path) as image:
        if image.format not in ("JPEG", "MPO"):
            image.load()
        return _orientation(image)


def read_all(
    paths: Iterable[File], read: Callable[[File], Result], problems: list[str], what: str
) -> dict[File, Result]:
    """Apply ``read`` to every path, on all cores; what it refuses becomes one line in ``problems``."""

    def attempt(path: File) -> Result | InputError:
        try:
            return read(path)
        except InputError as error:
            return error

    paths = list(paths)
    results: dict[File, Result] = {}
    # Decoding leaves the interpreter lock, so threads are enough.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = Progress(pool.map(attempt, paths), total=len(paths), desc=what, leave=False, dynamic_ncols=True)
        for path, outcome in zip(paths, outcomes, strict=True):
            if isinstance(outcome, InputError):
                problems.append(str(outcome))
            else:
                results[path] = outcome
    return results


@contextlib.contextmanager
def _decoding(path: str | os.PathLike[str], what: str = "image") -> Iterator[Image.Image]:
    """The opened file; whatever Pillow makes of a damaged one becomes an :class:`InputError`."""
    path = require_file(path, what)
    try:
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                raise InputError(
                    f"{path} has {image.width}x{image.height} pixels, the most that is read are {MOST_PIXELS:,}: "
                    "cut it or make it smaller"
                )
            yield image
    except (InputError, MemoryError):
        raise
    except Exception as error:  # decoders raise whatever they like on damaged files
        raise _refusal(path, what, error) from error


def _refusal(path: Path, what: str, error: Exception) -> InputError:
    if isinstance(error, PermissionError):
        return InputError(f"{path} cannot be opened ({error.strerror}): check its permissions")
    with open(path, "rb") as stream:
        begin = stream.read(64)
    if not begin:
        return InputError(f"{path} is empty (0 bytes), no whole {what}: copy it again")
    for offset, mark, kind, remedy in _STRANGERS:
        if begin[offset:].startswith(mark):
            return InputError(f"{path} is {kind}: {remedy}")
    if isinstance(error, Image.UnidentifiedImageError):
        return InputError(f"{path} is not a whole {what} (of no kind that is known): copy it again")
    return InputError(
        f"{path} is not a whole {what} ({str(error) or type(error).__name__}): copy it again, or convert it to PNG"
    )


def _is_16_bit(image: Image.Image) -> bool:
    # Older versions of Pillow open 16-bit PNG as "I"; PGM of more than 8 bits always is, brought to 0..65535.
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))


def _upper_bits(image: Image.Image) -> Image.Image:
    """16-bit grey (or of as many bits as a TIFF says) as 8-bit grey."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_TIFF_BITS, (16,))[0]
    values = np.array(image).astype(np.int64) >> (bits - 8)
    if tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO:
        values = 255 - values
    return Image.fromarray(values.astype(np.uint8))


def _orientation(image: Image.Image) -> int:
    """The orientation tag of an image, 1 where it has none that makes sense."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # Exif is parsed on the way, and raises as many kinds of error as there are damages
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Stored pixels ``[H, W, ...]`` as they are to be seen."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
