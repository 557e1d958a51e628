"""Bad input to a panel in a real JupyterLab: a sentence stands where the panel would be, and no traceback."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_sentence_stands_where_the_panel_would_be(open_notebook, tmp_path) -> None:
    code = "from vmamba_edu import panels\n\npanels.tokeniser('no such file')"
    path = tmp_path / "bad.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(code)]), path)
    notebook = open_notebook(path)
    with pytest.raises(AssertionError, match=r"^ValueError: clip: expected a video that can be read"):
        notebook.run_all()
    (shown,) = notebook.on_stderr()
    assert shown.startswith("ValueError: clip: expected a video that can be read, got no such file")
    assert len(shown.splitlines()) == 1
