"""Executed notebooks -> one HTML file that opens offline: pictures inside it, mathematics as MathML, no script."""

from pathlib import Path

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # a browser runs no script and fetches nothing

STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
