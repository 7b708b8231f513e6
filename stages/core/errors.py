"""What a user can mend."""


class InputError(Exception):
    """The message says what is wrong, where, and what would be right."""
