"""The same windows as the tests of the window."""

from ui.conftest import driver_of  # noqa: F401  a fixture
