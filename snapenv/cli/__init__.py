"""One command a file: text in, one workflow call, one outcome out."""
