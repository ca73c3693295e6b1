"""Floor 5: views of a report: tables for a terminal, Markdown, CSV and JSON."""
