"""Choose by measurement: which rewrites a model keeps, and with which settings it runs."""
