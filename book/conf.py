"""The static book: `make html`. Notebooks are shown as they are committed, not run."""

import importlib.util
import shutil
from pathlib import Path

project = "pyvirt_edu"
author = "the pyvirt_edu authors"
copyright = "2026, the pyvirt_edu authors"
language = "en"

extensions = ["myst_nb"]
exclude_patterns = ["**.ipynb_checkpoints", "**/README.md"]

nb_execution_mode = "off"
nb_merge_streams = True
# Nothing comes from another host: no require.js for widgets (ours bring a fallback),
# no formulas that would want MathJax.
nb_ipywidgets_js = {}
myst_enable_extensions = ["colon_fence", "deflist"]
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
suppress_warnings = ["mystnb.unknown_mime_type"]  # charts are for JupyterLab's plotly, too

html_theme = "sphinx_book_theme"
html_title = "pyvirt_edu: how virtual machines work"
html_theme_options = {
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "navbar_persistent": [],  # the side bar has a search field already
}
html_context = {"default_mode": "auto"}
html_static_path = ["_static"]
html_css_files = ["outputs.css"]
html_copy_source = False
html_show_sourcelink = False


def bring_plotly(app, exception):
    """One copy of plotly.js for all charts, if there are any; without it they are plain pictures."""
    found = importlib.util.find_spec("plotly")
    books = Path(app.srcdir).glob("*.ipynb")
    if exception or not found or not any("startChart" in book.read_text(encoding="utf-8") for book in books):
        return
    script = Path(found.origin).parent / "package_data" / "plotly.min.js"
    shutil.copyfile(script, Path(app.outdir) / "_static" / "plotly.min.js")


def setup(app):
    app.connect("build-finished", bring_plotly)
