"""Drives a real JupyterLab in headless Chromium, for the browser tests and for the README's picture.

Each step does what a reader would do, in the order that was found to be reliable: the kernel's session is made before
the notebook is opened, and Run All is asked for once, when the page itself says that the notebook has its kernel. On a
slow machine the menu answers earlier; what it is asked for then is lost, or comes late and twice.
"""

import ast
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

CHROMIUM_OPTIONS = [
    "--no-sandbox",  # in a container one is root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},  # no popup over the notebook
    "notebook-extension/tracker": {"windowingMode": "none"},  # every cell is in the page, not only those in view
}
TRACEBACK = re.compile(r"Traceback \(most recent call last\)|^\w*Error: ", re.MULTILINE)
# A busy machine is not a failure: 2 to 3 seconds are usual for a start, and a tenth of one for an answer of the page.
START_S, ANSWER_S = 180, 60
# JupyterLab's own objects in the page, there because it is started with `expose_app_in_browser`.
READY = """() => {
    const app = window.jupyterapp, notebook = app?.shell.currentWidget;
    const kernel = notebook?.sessionContext?.session?.kernel;
    return notebook?.context.isReady && notebook.sessionContext.isReady
        && kernel?.connectionStatus === 'connected' && kernel.status === 'idle'
        && app.commands.isEnabled('runmenu:run-all');
}"""
RUN_ALL = "() => void window.jupyterapp.commands.execute('runmenu:run-all')"
TELL = """async (expression) => {
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    const told = await kernel.requestExecute({ code: "", silent: true, user_expressions: { told: expression } }).done;
    return told.content.user_expressions.told.data["text/plain"];
}"""


def chromium() -> str | None:
    """Where Chromium is, None if it is not installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def headless_browser() -> Iterator[Browser]:
    """Chromium for as long as the context lasts. While it does, asyncio's own loops cannot run in this thread."""
    expect.set_options(timeout=1000 * ANSWER_S)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_OPTIONS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class OpenNotebook:
    """A notebook in a page of JupyterLab.

    Attributes:
        page: the playwright page, for everything that is not here.
        cells: the number of code cells.
        end_kernel: ends the kernel; the page would be told that it has died.
        errors: what the browser's console reported as errors so far, and exceptions of the page.
    """

    page: Page
    cells: int
    end_kernel: Callable[[], None]
    errors: list[str] = field(default_factory=list)

    def close(self) -> None:
        """Close the page, and end the kernel, which would otherwise live as long as JupyterLab."""
        self.page.close()
        self.end_kernel()

    def run_all(self, timeout_s: float = 120) -> None:
        """Run → Run All Cells, and wait until every code cell has its number.

        Raises:
            TimeoutError: some cell had not run in time.
            AssertionError: a cell raised; the message is its traceback.
        """
        deadline = time.monotonic() + timeout_s
        self._ask_for_run_all()
        while (done := self._prompts()) != self.cells:
            assert not self.tracebacks(), "\n".join(self.tracebacks())  # the cells after one that raises never run
            if time.monotonic() > deadline:
                raise TimeoutError(f"{done} of {self.cells} code cells had run after {timeout_s} s")
            self.page.wait_for_timeout(250)
        self.page.wait_for_timeout(250)  # the output of the last cell is drawn after its number
        assert not self.tracebacks(), "\n".join(self.tracebacks())

    def tells(self, expression: str) -> Any:
        """The value of an expression in the notebook's kernel, which is neither printed nor counted as a cell."""
        return ast.literal_eval(self.page.evaluate(TELL, expression))

    def on_stderr(self) -> list[str]:
        """What stands in the notebook on a red ground: warnings and tracebacks."""
        return self.page.locator('[data-mime-type="application/vnd.jupyter.stderr"]').all_inner_texts()

    def tracebacks(self) -> list[str]:
        """The tracebacks that stand in the notebook. JupyterLab shows them like warnings: told apart by their words."""
        return [text for text in self.on_stderr() if TRACEBACK.search(text)]

    def control(self, css_class: str) -> Locator:
        """The slider inside the widget that carries `css_class` (give it with `widget.add_class`)."""
        return self.page.locator(f".{css_class} [role=slider]").first

    def press(self, css_class: str, key: str) -> None:
        """Press a key, e.g. "ArrowRight", on the slider inside the widget that carries `css_class`."""
        slider = self.control(css_class)
        slider.scroll_into_view_if_needed()
        slider.press(key)

    def _ask_for_run_all(self) -> None:
        dialog = self.page.locator("dialog.jp-Dialog")
        assert dialog.count() == 0, f"JupyterLab asks instead of running: {dialog.all_inner_texts()}"
        self.page.evaluate(RUN_ALL)

    def _prompts(self) -> int:
        prompts = self.page.locator(".jp-CodeCell .jp-InputArea-prompt").all_inner_texts()
        return sum(prompt.strip("[]: \n").isdigit() for prompt in prompts)


@dataclass(frozen=True)
class JupyterLab:
    """A running JupyterLab: its address, its token and the folder it shows."""

    url: str
    token: str
    root: Path

    def open(self, browser: Browser, notebook: Path, viewport: tuple[int, int] = (1400, 1000)) -> OpenNotebook:
        """Copy a notebook into a new folder, outputs stripped, and open it with a kernel that is ready."""
        copy = Path(tempfile.mkdtemp(dir=self.root)) / notebook.name
        cells = _copy_without_outputs(notebook, copy)
        path = copy.relative_to(self.root).as_posix()
        session = {"path": path, "name": notebook.name, "type": "notebook", "kernel": {"name": "python3"}}
        made = self._ask("POST", "api/sessions", session)
        page = browser.new_page(viewport={"width": viewport[0], "height": viewport[1]})
        page.set_default_timeout(1000 * ANSWER_S)
        opened = OpenNotebook(page, cells, lambda: self._ask("DELETE", f"api/sessions/{made['id']}"))
        page.on("console", lambda message: opened.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: opened.errors.append(str(error)))
        page.goto(f"{self.url}doc/tree/{path}?token={self.token}", timeout=1000 * START_S)
        page.wait_for_function(READY, timeout=1000 * START_S)
        return opened

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """What JupyterLab's REST interface answers; None if nothing."""
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, content, headers, method=method)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=START_S) as answer:
            return json.loads(answer.read() or "null")


def _copy_without_outputs(notebook: Path, copy: Path) -> int:
    """Returns the number of code cells that will get a number when they run: the empty ones get none."""
    content = nbformat.read(notebook, as_version=4)
    code = [cell for cell in content.cells if cell.cell_type == "code"]
    for cell in code:
        cell.outputs, cell.execution_count = [], None
    nbformat.write(content, copy)
    return sum(bool(cell.source.strip()) for cell in code)


@contextmanager
def jupyterlab(folder: Path) -> Iterator[JupyterLab]:
    """A JupyterLab of its own below `folder`: own settings, own port, nothing of the user's is read or written."""
    root = folder / "root"
    root.mkdir(parents=True)
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"]
    command += ["--ServerApp.port=0", f"--ServerApp.root_dir={root}", f"--IdentityProvider.token={token}"]
    command += ["--LabApp.expose_app_in_browser=True"]
    with open(folder / "jupyterlab.log", "w") as log:
        server = subprocess.Popen(command, env=_private_environment(folder), stdout=log, stderr=subprocess.STDOUT)
        try:
            yield JupyterLab(_wait_for_url(folder, server), token, root)
        finally:
            server.terminate()  # it shuts its kernels down
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.kill()


def _private_environment(folder: Path) -> dict[str, str]:
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    for name in ("CONFIG", "DATA", "RUNTIME"):
        environment[f"JUPYTER_{name}_DIR"] = str(folder / name.lower())
    environment["JUPYTERLAB_SETTINGS_DIR"] = str(folder / "settings")
    environment["JUPYTERLAB_WORKSPACES_DIR"] = str(folder / "workspaces")
    for name, values in SETTINGS.items():
        path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), "utf-8")
    return environment


def _wait_for_url(folder: Path, server: subprocess.Popen) -> str:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        for file in (folder / "runtime").glob("jpserver-*.json"):
            try:
                url = json.loads(file.read_text("utf-8"))["url"]
                urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{url}api", timeout=START_S).close()
                return url
            except (ValueError, KeyError, urllib.error.URLError):
                continue  # the file is being written, or the port does not listen yet
        time.sleep(0.1)
    raise RuntimeError("JupyterLab did not start:\n" + (folder / "jupyterlab.log").read_text("utf-8")[-3000:])
