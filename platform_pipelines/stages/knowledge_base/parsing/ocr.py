"""Text of pictures by Tesseract, inside the parser's own process: its memory, time and walls hold.

Called through the library's C interface (`capi.h`, stable since 3.02), so that no program is
started: a confined process may not. Debian: `tesseract-ocr` and `tesseract-ocr-kor`.
"""

import atexit
import contextlib
import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from platform_pipelines.core.knowledge_base.documents import Reason
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.errors import DocumentError

if TYPE_CHECKING:
    from PIL.Image import Image

_LIBRARIES: Final = (
    "libtesseract.so.5", "libtesseract.so.4", "libtesseract.5.dylib", "libtesseract.dylib",
)  # fmt: skip
_MOST_PIXELS: Final = 40_000_000  # 40 MB of grey: a page of A3 at 400 dpi
LEAST_CONFIDENCE: Final = 40  # of 100: what is read below it is not what stands there
ABSENT: Final = "absent"


@dataclass(frozen=True, slots=True)
class OcrOptions:
    """What is declared as `parse.ocr`: Tesseract's languages and layout, and how much is read."""

    languages: tuple[str, ...] = ("kor", "eng")
    layout: int = 4  # Tesseract's --psm: 4 one column, 6 one block; its default 3 loses Korean
    dpi: int = 300
    max_pages: int = 40

    @staticmethod
    def of(declared: Mapping[str, Any] | None) -> "OcrOptions | None":
        """Of a declaration's `parse.ocr`; None where it is not declared."""
        if declared is None:
            return None
        return OcrOptions(**{**declared, "languages": tuple(declared["languages"])})

    @property
    def identity(self) -> str:
        """Of what is declared and what reads: with another Tesseract, documents are read again."""
        library = _library()
        version = library.TessVersion().decode() if library else ABSENT
        return digest_json([self.languages, self.layout, self.dpi, self.max_pages, version])


class Recogniser:
    """Tesseract with its languages loaded."""

    def __init__(self, library: ctypes.CDLL, options: OcrOptions) -> None:
        self._library = library
        self.options = options
        self._handle = ctypes.c_void_p(library.TessBaseAPICreate())
        language = "+".join(options.languages).encode()
        failed = library.TessBaseAPIInit3(self._handle, None, language)
        # It goes on without a language that it lacks: Korean read as English is noise.
        missing = options.languages if failed else sorted({*options.languages} - self._loaded())
        if missing:
            library.TessBaseAPIEnd(self._handle)
            raise needs_ocr(f"Tesseract has no data of {' and '.join(missing)}")
        library.TessBaseAPISetPageSegMode(self._handle, options.layout)
        atexit.register(library.TessBaseAPIEnd, self._handle)

    def _loaded(self) -> set[str]:
        names = self._library.TessBaseAPIGetLoadedLanguagesAsVector(self._handle)
        found: set[str] = set()
        for name in names:
            if name is None:
                break
            found.add(name.decode())
        self._library.TessDeleteTextArray(names)
        return found

    def read(self, picture: "Image") -> tuple[str, int]:
        """The text of a picture, lines as they stand, and how sure it is, 0 to 100."""
        grey = _grey(picture)
        data, library = grey.tobytes(), self._library
        library.TessBaseAPISetImage(self._handle, data, grey.width, grey.height, 1, grey.width)
        library.TessBaseAPISetSourceResolution(self._handle, self.options.dpi)
        found = library.TessBaseAPIGetUTF8Text(self._handle)
        try:
            text = ctypes.string_at(found).decode("utf-8", "replace") if found else ""
            sure = int(library.TessBaseAPIMeanTextConf(self._handle)) if text.strip() else 0
        finally:
            library.TessDeleteText(ctypes.c_void_p(found))
            library.TessBaseAPIClear(self._handle)
        return text, sure


@cache
def open_recogniser(options: OcrOptions) -> Recogniser:
    """Tesseract as declared, loaded once a process.

    Raises:
        DocumentError: NEEDS_OCR, this machine has no Tesseract or not these languages.
    """
    library = _library()
    if library is None:
        raise needs_ocr("this machine has no Tesseract to read pictures with")
    return Recogniser(library, options)


def needs_ocr(what: str, *, where: str = "", declared: bool = True) -> DocumentError:
    """The refusal of a document whose text is in pictures, with what to do about it."""
    install = "install tesseract-ocr and tesseract-ocr-kor (or the declared languages')"
    remedy = install if declared else f"declare parse.ocr and {install}"
    return DocumentError(what, reason=Reason.NEEDS_OCR, where=where, remedy=remedy)


@cache
def _library() -> ctypes.CDLL | None:
    for name in _LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        _declare(library)
        with contextlib.suppress(OSError, AttributeError):  # its threads mostly wait for each other
            ctypes.CDLL("libgomp.so.1").omp_set_num_threads(1)
        return library
    return None


def _declare(library: Any) -> None:
    """The types of what is called: a pointer is wider than C's int."""
    pointer, number = ctypes.c_void_p, ctypes.c_int
    library.TessVersion.restype = ctypes.c_char_p
    library.TessBaseAPICreate.restype = pointer
    library.TessBaseAPIInit3.argtypes = [pointer, ctypes.c_char_p, ctypes.c_char_p]
    library.TessBaseAPISetPageSegMode.argtypes = [pointer, number]
    library.TessBaseAPISetImage.argtypes = [pointer, ctypes.c_char_p, *[number] * 4]
    library.TessBaseAPISetSourceResolution.argtypes = [pointer, number]
    library.TessBaseAPIGetUTF8Text.argtypes = [pointer]
    library.TessBaseAPIGetUTF8Text.restype = pointer
    texts = ctypes.POINTER(ctypes.c_char_p)
    library.TessBaseAPIGetLoadedLanguagesAsVector.argtypes = [pointer]
    library.TessBaseAPIGetLoadedLanguagesAsVector.restype = texts
    library.TessDeleteTextArray.argtypes = [texts]
    library.TessBaseAPIMeanTextConf.argtypes = [pointer]
    library.TessBaseAPIClear.argtypes = [pointer]
    library.TessBaseAPIEnd.argtypes = [pointer]
    library.TessDeleteText.argtypes = [pointer]


def _grey(picture: "Image") -> "Image":
    """Dark on light, without transparency, not larger than is read."""
    from PIL import Image

    if "A" in picture.getbands() or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    grey = picture.convert("L")
    pixels = grey.width * grey.height
    if pixels > _MOST_PIXELS:
        share = (_MOST_PIXELS / pixels) ** 0.5
        grey = grey.resize((max(1, int(grey.width * share)), max(1, int(grey.height * share))))
    return grey


def most_scale(width: float, height: float, dpi: int) -> float:
    """By how much a page of so many points is enlarged to be read, within the bound of pixels."""
    return min(dpi / 72, (_MOST_PIXELS / max(1.0, width * height)) ** 0.5)
