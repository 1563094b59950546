"""The report in a real browser: seen at two widths, in both schemes, silent on the network."""

import base64
import dataclasses
import http.server
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.report.content import RunSummary
from pipeline.report.page import POLICY, render_html
from pipeline.report.style import CSS
from tests.report.test_report_safety import PAYLOADS, with_text

CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH"),
]

# The least share of all pixels that a colour of the style sheet takes.
LEAST = {
    "speech": 2e-4,
    "text": 2e-4,
    "kept": 1e-4,
    "lost": 1e-4,
    "speech-ground": 2e-3,
    "text-ground": 2e-3,
    "column": 1e-3,
}
DARK = "--blink-settings=preferredColorScheme=0"


class Browser:
    """Headless Chromium with a profile of its own for each start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.starts = 0

    def start(self, page: Path, *flags: str) -> subprocess.CompletedProcess[str]:
        self.starts += 1
        command = [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr",
            f"--user-data-dir={self.folder / f'profile-{self.starts}'}", *flags, page.as_uri(),
        ]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)

    def look(self, page: Path, width: int, height: int, *flags: str) -> np.ndarray:
        """A screenshot as RGB, shape [height, width, 3]; the page must log nothing."""
        image = self.folder / f"shot-{self.starts}.png"
        done = self.start(page, f"--window-size={width},{height}", f"--screenshot={image}", *flags)
        assert "CONSOLE" not in done.stderr, done.stderr
        from PIL import Image

        return np.asarray(Image.open(image).convert("RGB"))

    def ask(self, page: Path, width: int, *flags: str) -> str:
        """What the script that a test added to a page of a width says of it to its parent.

        In a frame, because a headless window is never narrower than 500 pixels here.
        """
        outer = page.with_name("outer.html")
        outer.write_text(
            "<!doctype html><title>silent</title><script>onmessage = e => document.title = e.data"
            f'</script><iframe src="{page.name}" width="{width}" height="900" frameborder="0">',
            encoding="utf-8",
        )
        flags = ("--window-size=1400,1000", "--virtual-time-budget=5000", *flags)
        done = self.start(outer, "--dump-dom", *flags)
        found = re.search(r"<title>(.*?)</title>", done.stdout, re.S)
        assert found, done.stdout[:500]
        return found[1]


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    return Browser(tmp_path)


@pytest.fixture
def report(run: RunSummary, tmp_path: Path) -> Path:
    path = tmp_path / "index.html"
    path.write_text(render_html(run), encoding="utf-8")
    return path


def colours(name: str) -> list[tuple[int, int, int]]:
    """A colour variable of the style sheet: light, then dark."""
    found = re.findall(rf"--{name}: #([0-9a-f]{{6}});", CSS)
    assert len(found) == 2
    return [(int(h[:2], 16), int(h[2:4], 16), int(h[4:], 16)) for h in found]


def share_of(image: np.ndarray, colour: tuple[int, int, int]) -> float:
    return float((np.abs(image.astype(int) - colour).max(axis=2) <= 2).mean())


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize(("scheme", "flags"), [(0, ()), (1, (DARK,))])
def test_it_is_seen_with_its_colours(
    browser: Browser, report: Path, width: int, scheme: int, flags: tuple[str, ...]
) -> None:
    image = browser.look(report, width, 7000 if width > 1000 else 14000, *flags)
    assert image.shape[1] == width
    assert share_of(image, colours("ground")[scheme]) > 0.4
    for name, least in LEAST.items():
        assert share_of(image, colours(name)[scheme]) > least, name
        # the other scheme's colour is not there: the scheme was followed
        if name in ("speech-ground", "text-ground"):
            assert share_of(image, colours(name)[1 - scheme]) < 1e-5, name
    inked = (np.abs(image.astype(int) - colours("ground")[scheme]).max(axis=2) > 60).mean(axis=1)
    assert (inked > 0).mean() > 0.2  # something stands in at least a fifth of all rows


def scripted(report: Path, script: str) -> Path:
    """A copy of the report whose policy lets one script of the test run, which says `tell`."""
    text = report.read_text(encoding="utf-8").replace("&#x27;", "'")
    assert POLICY in text
    text = text.replace(POLICY, POLICY + "; script-src 'unsafe-inline'")
    copy = report.with_name("scripted.html")
    tell = "const tell = x => parent.postMessage(String(x), '*');"
    text = text.replace("</body>", f"<script>{tell} {script}</script></body>")
    copy.write_text(text, encoding="utf-8")
    return copy


@pytest.mark.parametrize("width", [1280, 768, 390])
def test_nothing_sticks_out_sideways(browser: Browser, report: Path, width: int) -> None:
    page = scripted(
        report,
        "for (const d of document.querySelectorAll('details')) d.open = true;"
        "tell(innerWidth + ' ' + document.documentElement.scrollWidth);",
    )
    assert browser.ask(page, width) == f"{width} {width}"


def test_the_funnel_fits_a_phone(browser: Browser, report: Path) -> None:
    page = scripted(
        report,
        "const box = document.querySelector('.funnel').parentElement;"
        "tell(box.scrollWidth - box.clientWidth);",
    )
    assert browser.ask(page, 390) == "0"


def test_previews_play_under_the_report_s_own_policy(
    browser: Browser, report: Path, run: RunSummary
) -> None:
    page = scripted(
        report,
        "const a = document.querySelector('audio');"
        "a.onloadedmetadata = () => tell('seconds ' + a.duration);"
        "a.onerror = () => tell('error ' + a.error.message); a.preload = 'auto';",
    )
    assert browser.ask(page, 800) == "seconds 2"
    assert run.kept[0].audio and base64.b64encode(run.kept[0].audio).decode() in page.read_text()


def test_words_stand_out_from_their_ground(browser: Browser, report: Path) -> None:
    script = """
    const lum = c => { const [r, g, b] = c.map(v => { v /= 255;
      return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const rgb = s => s.match(/[0-9.]+/g).map(Number);
    const ground = e => { for (; e; e = e.parentElement) {
      const c = rgb(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c.slice(0, 3); } return [255, 255, 255]; };
    let worst = [99, ''];
    for (const d of document.querySelectorAll('details')) d.open = true;
    for (const e of document.querySelectorAll('main *, header *')) {
      if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
      const s = getComputedStyle(e), back = ground(e);
      const ink = rgb(e instanceof SVGElement ? s.fill : s.color), o = Number(s.opacity);
      const seen = ink.slice(0, 3).map((v, i) => v * o + back[i] * (1 - o));
      const [a, b] = [lum(seen), lum(back)].sort((x, y) => y - x);
      const ratio = (a + 0.05) / (b + 0.05);
      if (ratio < worst[0]) worst = [ratio, e.tagName + '.' + e.getAttribute('class')];
    }
    tell(worst[0].toFixed(2) + ' ' + worst[1]);
    """
    for flags in ((), (DARK,)):
        answer = browser.ask(scripted(report, script), 1280, *flags)
        assert 4.5 <= float(answer.split()[0]) < 99, answer


class Canary(http.server.BaseHTTPRequestHandler):
    """Remembers what is asked of it."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def canary() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    handler = type("Handler", (Canary,), {"asked": asked})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()
    thread.join()


def hostile(address: str) -> str:
    return (
        f'"></title></style><img src="{address}/img" onerror="document.title=1">'
        f'<script>fetch("{address}/script")</script><link rel=stylesheet href="{address}/css">'
        f"<style>body{{background:url({address}/url)}}</style>"
        f'<iframe src="{address}/frame"></iframe><svg onload="document.title=2">'
    )


def test_hostile_words_run_nothing_and_ask_for_nothing(
    browser: Browser, run: RunSummary, tmp_path: Path, canary: tuple[str, list[str]]
) -> None:
    address, asked = canary
    page = tmp_path / "hostile.html"
    words = hostile(address) + "".join(PAYLOADS)
    page.write_text(render_html(with_text(run, words)), encoding="utf-8")
    browser.look(page, 1280, 3000)
    assert asked == []
    done = browser.start(page, "--dump-dom", "--virtual-time-budget=3000")
    assert "CONSOLE" not in done.stderr and asked == []
    for forbidden in ("<script", "<img", "<iframe", "<svg onload", '<link rel="stylesheet"'):
        assert forbidden not in done.stdout.lower()


def test_the_canary_sings_where_words_are_not_escaped(
    browser: Browser, tmp_path: Path, canary: tuple[str, list[str]]
) -> None:
    address, asked = canary
    page = tmp_path / "open.html"
    page.write_text(f'<!doctype html><p title="{hostile(address)}">', encoding="utf-8")
    browser.start(page, "--dump-dom", "--virtual-time-budget=3000")
    assert "/img" in asked


def test_the_policy_holds_even_where_words_are_not_escaped(
    browser: Browser, report: Path, canary: tuple[str, list[str]]
) -> None:
    address, asked = canary
    text = report.read_text(encoding="utf-8").replace(
        "<main>", f'<main><p title="{hostile(address)}">'
    )
    page = report.with_name("open.html")
    page.write_text(text, encoding="utf-8")
    done = browser.start(page, "--dump-dom", "--virtual-time-budget=3000")
    assert asked == [] and "CONSOLE" in done.stderr  # refused, and said so


def test_closed_folds_are_printed(browser: Browser, report: Path) -> None:
    target = report.with_name("report.pdf")
    browser.start(report, f"--print-to-pdf={target}")
    opened = report.with_name("opened.html")
    opened.write_text(report.read_text(encoding="utf-8").replace("<details>", "<details open>"))
    other = report.with_name("opened.pdf")
    browser.start(opened, f"--print-to-pdf={other}")

    def pages(path: Path) -> int:
        return len(re.findall(rb"/Type\s*/Page\b", path.read_bytes()))

    assert pages(target) == pages(other) > 2


def test_an_empty_report_is_seen_too(browser: Browser, run: RunSummary, tmp_path: Path) -> None:
    bare = dataclasses.replace(
        run, funnel=(), histograms=(), kept=(), dropped=(), documents=(), shards=(), speakers=()
    )
    page = tmp_path / "bare.html"
    page.write_text(render_html(bare), encoding="utf-8")
    image = browser.look(page, 800, 900)
    assert 0 < share_of(image, colours("ink")[0]) < 0.2
