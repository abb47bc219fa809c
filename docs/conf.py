"""Sphinx configuration of the site (`make docs`). Nothing is fetched; every warning is an error."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import splade_connectors

project = "splade-connectors"
author = "the splade-connectors contributors"
copyright = author
release = version = splade_connectors.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "extension",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["README.md"]

# A broken reference is an error (with --fail-on-warning), except for names of other packages:
# their documentation is on the network, which the build does not use.
nitpicky = True
nitpick_ignore_regex = [
    (
        "py:.*",
        r"(numpy|np|scipy|collections|typing|pathlib|types|dataclasses|datetime|decimal|threading|uuid)\..*",
    ),
    ("py:.*", r"(csr_matrix|T|R|.*\.Given|(tuple|dict)\[.*|EncoderLike)"),
]

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_use_rtype = False

copybutton_prompt_text = "$ "
# No copy button on outputs.
copybutton_selector = "div:not(.highlight-output) > div.highlight > pre"

html_theme = "pydata_sphinx_theme"
html_title = f"splade-connectors {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
templates_path = ["_templates"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {"**": ["site-navigation"]}
html_theme_options = {
    "navbar_start": ["navbar-logo"],
    "navbar_center": [],
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
    "show_toc_level": 2,
    "logo": {"text": project},
}
