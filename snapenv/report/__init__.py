"""Outcome to terminal text and JSON document; nothing here prints."""
