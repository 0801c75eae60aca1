"""Commands called as a person calls them, in this process."""

from tests.operations.conftest import say

__all__ = ["say"]
