"""The errors a user can cause, named by what went wrong; each carries one clear line as its message."""


class InputError(ValueError):
    """Bad input: the command line answers it with one line and exit code 2."""


class InvalidNumber(InputError):
    """A string that is not an exact number, or a number out of its range."""


class InvalidTarget(InputError):
    """A target expression that does not parse, or that is not defined or not continuous on the domain."""


class InvalidDomain(InputError):
    """A domain that does not parse, is empty, reversed or unbounded, or does not fit the target."""


class InvalidAttention(InputError):
    """Attention matrices whose shapes do not fit, or a head outside the supported family."""


class InvalidWeights(InputError):
    """A file of weights that cannot be read exactly, or whose tensors do not make a head."""


class InvalidClaim(InputError):
    """A tolerance or norm that makes no claim."""


class InvalidCertificate(InputError):
    """A file that is not a certificate this version can read."""


class TooLarge(InputError):
    """The request needs more tokens or memory than there are."""


class UndefinedTarget(InvalidTarget):
    """The target has no value at a point of the domain."""
