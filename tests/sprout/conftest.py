from ..lab.conftest import chromium, show

__all__ = ["chromium", "show"]
