"""The HTML report: one page that opens offline, drawn here as SVG, so that it needs no library in the browser."""
