"""A headless Chromium, driven over a pipe by the DevTools protocol: no port, no driver, no library.

``python -m tests.browser report.html out.png --width 390 --dark`` takes a picture of a page to look at.
"""

import argparse
import base64
import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_SECONDS = 60
_SETTLE = "new Promise(done => requestAnimationFrame(() => setTimeout(done, 200)))"


def program() -> str | None:
    """A Chromium of this machine, or the one that RADREPRO_CHROMIUM names; None where there is none."""
    return os.environ.get("RADREPRO_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@dataclass
class Opened:
    """What a page did: lines on the console, errors of scripts, addresses that it asked for."""

    console: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


class Browser:
    """One Chromium with one page. ``with Browser(profile_folder) as browser: ...``."""

    def __init__(self, profile: Path) -> None:
        down, up = os.pipe(), os.pipe()
        command = [
            program(),
            "--headless=new",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
            *("--no-first-run", "--disable-sync", "--hide-scrollbars", "--disable-dev-shm-usage"),
            "about:blank",
        ]
        # the protocol is read from file descriptor 3 and written to 4
        shell = f'exec "$@" 3<&{down[0]} 4>&{up[1]}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command],
            pass_fds=(down[0], up[1]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(down[0])
        os.close(up[1])
        self._to, self._from = os.fdopen(down[1], "wb"), os.fdopen(up[0], "rb")
        self._number, self._rest, self._session = 0, b"", ""
        self.opened = Opened()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._to.close()
        self._from.close()
        self._process.terminate()
        self._process.wait(_SECONDS)

    def call(self, method: str, **parameters: Any) -> Any:
        """What the method gives; what happens meanwhile goes to ``opened``."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        self._to.flush()
        while True:
            said = self._read()
            if said.get("id") == self._number:
                if "error" in said:
                    raise RuntimeError(f"{method}: {said['error']}")
                return said["result"]
            self._note(said.get("method", ""), said.get("params", {}))

    def open(self, url: str, width: int = 1280, height: int = 900, *, dark: bool = False, media: str = "") -> Opened:
        """Load a page of so many CSS pixels and wait until its scripts have run."""
        self.opened = Opened()
        phone = width < 500
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.look(dark=dark, media=media)
        self.call("Page.navigate", url=url)
        started = time.monotonic()
        while self.evaluate("document.readyState") != "complete" or self.evaluate("location.href") == "about:blank":
            if time.monotonic() - started > _SECONDS:
                raise TimeoutError(url)
            time.sleep(0.05)
        self.evaluate(_SETTLE)
        return self.opened

    def look(self, *, dark: bool = False, media: str = "") -> None:
        """As on a dark screen, or on another medium: ``print``."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.evaluate(_SETTLE)

    def evaluate(self, expression: str) -> Any:
        """The value of JavaScript in the page. Raises :class:`RuntimeError` with what it throws."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"]["exception"].get("description", "an exception"))
        return found["result"].get("value")

    def picture(self, *, whole: bool = True) -> bytes:
        """A PNG of the whole page, or of what is seen of it."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self._clip(whole))
        return base64.b64decode(found["data"])

    def pdf(self) -> bytes:
        """As it is printed on A4."""
        found = self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=False)
        return base64.b64decode(found["data"])

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    def _read(self) -> Any:
        while b"\0" not in self._rest:
            more = os.read(self._from.fileno(), 1 << 20)
            if not more:
                raise RuntimeError("the browser is gone")
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\0")
        return json.loads(line)

    def _note(self, method: str, said: Any) -> None:
        if method == "Runtime.exceptionThrown":
            details = said["exceptionDetails"]
            self.opened.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled":
            self.opened.console.append(" ".join(str(part.get("value", "")) for part in said["args"]))
        elif method == "Log.entryAdded" and said["entry"]["level"] in {"error", "warning"}:
            self.opened.errors.append(said["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.opened.requests.append(said["request"]["url"])


def faults(browser: Browser, path: Path, width: int = 1280, *, dark: bool = False) -> list[str]:
    """What is wrong with a report in a browser; nothing if every figure is drawn, and all that it shows is in it."""
    opened = browser.open(path.resolve().as_uri(), width, dark=dark)
    found = [f"error: {text}" for text in opened.errors] + [f"console: {text}" for text in opened.console]
    found += [f"asks for {url}" for url in opened.requests if not url.startswith(("file:", "data:", "blob:"))]
    return found + browser.evaluate(_LOOK)


_LOOK = """(() => {
  const found = [], screen = document.documentElement.clientWidth, plots = [...document.querySelectorAll(".plot")];
  if (!plots.length) found.push("no figure at all");
  if (+document.documentElement.dataset.drawn !== plots.length) found.push("not as many figures drawn as there are");
  for (const plot of plots) {
    const drawing = plot.querySelector("svg.main-svg"), box = drawing && drawing.getBoundingClientRect();
    if (!box || box.width < 100 || box.height < 100) found.push(`${plot.id}: no drawing`);
    else if (!plot.querySelector(".scatterlayer path, .barlayer path, .heatmaplayer image, .boxlayer path"))
      found.push(`${plot.id}: an empty drawing`);
    if (box && box.right > screen + 1) found.push(`${plot.id}: wider than the screen`);
  }
  for (const image of document.images) if (!image.naturalWidth) found.push(`no picture: ${image.alt}`);
  const wide = document.documentElement.scrollWidth;
  if (wide > screen + 1) found.push(`the page is ${wide} wide on a screen of ${screen}`);
  return found;
})()"""


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path, help="a .png, or a .pdf as printed")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--dark", action="store_true")
    given = parser.parse_args()
    profile = Path(f"/tmp/radrepro-browser-{os.getpid()}")
    with Browser(profile) as browser:
        said = browser.open(given.page.resolve().as_uri(), given.width, dark=given.dark)
        given.picture.write_bytes(browser.pdf() if given.picture.suffix == ".pdf" else browser.picture())
        print(said.errors, said.console)  # noqa: T201 - a command for a person
    shutil.rmtree(profile, ignore_errors=True)


if __name__ == "__main__":
    _main()
