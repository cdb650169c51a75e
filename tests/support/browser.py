"""A real browser on what Berth shows: Debian's Chromium, driven by Playwright."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]


def chromium() -> str:
    """Return Chromium's path; without one the test is skipped, and fails in CI."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is not installed: apt-get install chromium")
        pytest.skip("needs Chromium: apt-get install chromium")
    return found


@contextlib.contextmanager
def browser(width: int = 1440, height: int = 960) -> "Iterator[BrowserContext]":
    """Open a browser that has never been here; its pages wait half a minute at most for what they look for."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=_FLAGS)
        yield opened.new_context(viewport={"width": width, "height": height})
        opened.close()


@contextlib.contextmanager
def berth_ui(folder: Path) -> Iterator[str]:
    """Run `berth ui` in `folder` and yield its address once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = str(Path(sys.executable).with_name("berth"))
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    with (folder / "berth-ui.log").open("w") as log:
        server = subprocess.Popen(
            [program, "ui", "--port", str(port)], cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 90
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/health", timeout=5):
                break
            log_text = (folder / "berth-ui.log").read_text()
            assert server.poll() is None, log_text
            assert time.monotonic() < deadline, log_text
            time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(30)
