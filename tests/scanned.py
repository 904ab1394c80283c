"""Pages as a scanner makes them: text drawn into a picture, in a Korean font of the system."""

import io
from pathlib import Path

import pytest

FONT = Path("/usr/share/fonts/truetype/nanum/NanumGothic.ttf")
RULES = """연차 휴가 관리 규정

제1조(목적) 이 규정은 직원의 연차 휴가에 관한 사항을 정한다.

제2조(휴가 일수) 1년간 80퍼센트 이상 출근한 직원에게 15일의 유급
휴가를 준다. 3년 이상 계속 근로하면 2년마다 1일을 더한다.

제3조(신청) 휴가를 쓰려는 직원은 3일 전까지 부서장에게 신청한다.

The deadline of each request is 18:00 on Friday."""


def skip_without_ocr() -> None:
    """Skip where the system lacks Tesseract, its Korean data, or a font to draw with."""
    from platform_pipelines.errors import DocumentError
    from platform_pipelines.stages.knowledge_base.parsing.ocr import OcrOptions, open_recogniser

    if not FONT.exists():
        pytest.skip("no Korean font to draw a page with: apt-get install fonts-nanum")
    try:
        open_recogniser(OcrOptions())
    except DocumentError as error:
        pytest.skip(f"{error.what}: apt-get install tesseract-ocr tesseract-ocr-kor")


def scan(kind: str, *texts: str) -> bytes:
    """Pages of A5 at 200 dpi as a `PNG`, `JPEG`, `TIFF` or `PDF`, one text a page."""
    from PIL import Image, ImageDraw, ImageFont

    pages: list[Image.Image] = []
    for text in texts:
        page = Image.new("L", (1240, 1000), 255)
        font = ImageFont.truetype(FONT, 32)
        ImageDraw.Draw(page).multiline_text((60, 100), text, font=font, fill=0, spacing=20)
        pages.append(page)
    out = io.BytesIO()
    more = {"save_all": True, "append_images": pages[1:]} if kind in ("PDF", "TIFF") else {}
    pages[0].save(out, kind, resolution=200, **more)
    return out.getvalue()


def error_share(found: str, wanted: str) -> float:
    """Edits from one to the other by characters, spaces aside, as a share of what was wanted."""
    a, b = "".join(found.split()), "".join(wanted.split())
    before = list(range(len(b) + 1))
    for row, left in enumerate(a, start=1):
        now = [row]
        for column, right in enumerate(b, start=1):
            edit = before[column - 1] + (left != right)
            now.append(min(before[column] + 1, now[-1] + 1, edit))
        before = now
    return before[-1] / len(b)
