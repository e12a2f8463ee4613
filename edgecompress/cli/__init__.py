"""The command line: parse, call one function, print. Imports of what a command needs stand inside of it."""

from edgecompress.cli.app import main

__all__ = ["main"]
