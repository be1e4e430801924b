"""Hashes of an image as stored: of its exact pixels, and of what it looks like."""

import hashlib

import cv2
import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.uint8]

_SIDE = 64
_LOW = 16
_DIGITS = 6


def exact(image: Grey) -> str:
    """SHA-256 of the pixels."""
    return hashlib.sha256(image.tobytes()).hexdigest()


def perceptual(image: Grey) -> str:
    """256-bit DCT hash (pHash, Zauner 2010): which low frequencies lie above their median. 64 hexadecimal digits.

    In float64 and rounded, so that another processor's last bits do not change it.
    """
    filter_ = cv2.INTER_AREA if image.shape[0] >= _SIDE else cv2.INTER_LINEAR
    small = cv2.resize(image, (_SIDE, _SIDE), interpolation=filter_).astype(np.float64)
    low = np.round(cv2.dct(small)[:_LOW, :_LOW], _DIGITS).ravel()
    median = np.round(np.median(low[1:]), _DIGITS)  # the first is the mean level
    return np.packbits(low > median).tobytes().hex()
