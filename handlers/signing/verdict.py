"""What a signature check found out."""

from enum import StrEnum


class Verdict(StrEnum):
    """The result of a check; the value is the reason kept in history and logs, never shown to the sender."""

    VALID = "signature-valid"
    MISSING = "signature-missing"  # no scheme's headers, or only some of them
    MALFORMED = "signature-malformed"  # a header no honest sender makes, or the same one twice
    TOO_OLD = "signature-too-old"
    TOO_NEW = "signature-too-new"
    MISMATCH = "signature-mismatch"  # well formed, but not made with our key over this body
    UNUSABLE_KEY = "signature-key-unusable"  # our stored secret is empty or broken base64: edit the hook

    @property
    def ok(self) -> bool:
        """Tell whether the request may go on."""
        return self is Verdict.VALID
