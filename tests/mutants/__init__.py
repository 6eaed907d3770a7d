"""Do the tests bite? See run.py."""
