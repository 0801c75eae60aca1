"""Numbers and the words they count."""


def counted(number: int, one: str, many: str = "") -> str:
    """A number and its word.

    Args:
        number: how many.
        one: the word for one of them.
        many: for none or several; '' takes `one` and an s.

    >>> counted(1, "file"), counted(1200, "file"), counted(2, "batch", "batches")
    ('1 file', '1200 files', '2 batches')
    """
    return f"{number} {one if number == 1 else many or one + 's'}"
