"""Stops an old Python with one plain sentence. Imported first, so that nothing newer is read before it."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (this is where an older one is met)
    found = "{}.{}".format(*sys.version_info[:2])
    sys.stderr.write(
        f"Overread needs Python 3.11 or later, and this is Python {found}. Start it with a newer one, "
        f"for example: python3.12 {sys.argv[0]}\n"
    )
    sys.exit(2)
