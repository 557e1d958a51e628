"""Make the README's picture: a lesson, run in a real JupyterLab in headless Chromium, and photographed.

make pictures        or   python docs/make_pictures.py --lesson 00_first_light --after "Which token comes next?"
"""

import argparse
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from jupyter_in_chromium import headless_browser, jupyterlab  # noqa: E402

VIEWPORT = (1100, 1440)


def photograph(lesson: str, heading: str, picture: Path) -> None:
    """Run `lesson` and save what stands below `heading`, as a reader sees it, as a PNG."""
    picture.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, headless_browser() as browser, jupyterlab(Path(folder)) as lab:
        notebook = lab.open(browser, ROOT / "notebooks" / f"{lesson}.ipynb", VIEWPORT)
        notebook.run_all()
        scroll_to(notebook.page, heading)
        notebook.page.wait_for_timeout(2000)  # pictures in widgets come a moment after the widgets
        notebook.page.locator(".jp-WindowedPanel-outer").screenshot(path=picture)
        if said := notebook.errors + notebook.on_stderr():
            raise RuntimeError("the lesson did not run cleanly:\n" + "\n".join(said))


def scroll_to(page: Page, heading: str) -> None:
    """Put `heading` at the top of what is seen."""
    page.locator(".jp-MarkdownOutput :is(h1, h2, h3)", has_text=heading).first.evaluate("h => h.scrollIntoView()")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lesson", default="00_first_light")
    parser.add_argument("--after", default="Which token comes next?", help="the heading below which is photographed")
    parser.add_argument("--picture", type=Path, default=ROOT / "docs" / "pictures" / "first_light.png")
    options = parser.parse_args()
    photograph(options.lesson, options.after, options.picture)
    print(f"wrote {options.picture}")


if __name__ == "__main__":
    main()
