"""Outcome to terminal text, JSON document and HTML page; nothing here prints."""
