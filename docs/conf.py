"""Sphinx configuration; ``make docs`` treats every warning as an error."""

from aiida_finales import __version__

project = "aiida-finales"
author = "The aiida-finales developers"
copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click", "sphinx_copybutton"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
# prompts and comments are not copied with a command
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True
suppress_warnings: list[str] = []

html_theme = "furo"
html_title = f"aiida-finales {release}"
