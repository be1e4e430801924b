"""Why a file is not used, and what to do about it: one table for every stage, the reports and the documentation."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a file is not used. The value is what the user should do about it."""

    NOT_DICOM = "not a DICOM file: nothing to do, unless it should be one"
    ARCHIVE = "an archive that is not opened: unpack it, or end its name in .zip if it is a zip archive"
    LINK = "a link to a folder, which is not followed: put the folder itself there"
    UNREADABLE = "the header cannot be parsed: export the file again"
    TRUNCATED = "the file ends before its pixel data does: export it again"
    NO_PIXEL_DATA = "no image in it (a report or presentation state): nothing to do"
    MISSING_PATIENT_ID = "no PatientID, so it cannot be kept on one side of the split: complete it in the PACS"
    MISSING_UID = "no study, series or SOP instance UID: export it again"
    DUPLICATE = "the same SOP instance was accepted already: nothing to do"
    CONFLICTING_DUPLICATE = "the same SOP instance UID as an accepted file, but other bytes: find out which is right"
    BURNED_IN = "a name may be burned into its pixels: look; see ingest.burned_in_absent, or have the PACS clean it"
    UNSUPPORTED = "its transfer syntax or pixel format is not supported: convert it to another"
    TOO_LARGE = "it claims or needs more memory than a file may take: see limits.memory_mib, or leave it out"
    DECODE_FAILED = "the pixel data cannot be decoded: export the file again"
    DECODE_TIMEOUT = "reading it took longer than a file may take: see limits.seconds, or convert it to another format"
    DECODER_CRASHED = "it made the program that reads it crash: convert it to another format"
    OUT_OF_DOMAIN = "not the kind of image that the model was trained on: ask a model that was"


HARMLESS = frozenset([Reason.NOT_DICOM, Reason.NO_PIXEL_DATA, Reason.DUPLICATE])
"""Of files that no image is lost with."""

DUPLICATES = frozenset({Reason.DUPLICATE, Reason.CONFLICTING_DUPLICATE})
"""The reasons of files whose SOP instance another file brings."""


class Refused(Exception):  # noqa: N818 - not an error of the program
    """The file is not used, for ``reason``. ``detail`` never holds a value from the file."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason.name)
        self.reason = reason
        self.detail = detail
