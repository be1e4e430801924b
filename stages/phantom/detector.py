"""From attenuation to the values a site's detector stores: beam, scatter, noise, grey scale, marker, borders."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from stages.phantom.anatomy import Map

Stored = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Detector:
    """A site's way to make an image; the two differ as two hospitals do."""

    rows: int
    columns: int
    bits: int
    scatter: float  # scattered to primary radiation behind the patient
    quanta: float  # detected per pixel in the open beam
    blur: float  # of the detector, pixels
    gamma: float  # of the grey scale
    marker: str  # burned into the image


DETECTORS = {
    "site-a": Detector(rows=448, columns=416, bits=12, scatter=0.35, quanta=90_000, blur=0.7, gamma=1.0, marker="L"),
    "site-b": Detector(rows=512, columns=480, bits=8, scatter=0.75, quanta=16_000, blur=1.1, gamma=0.8, marker="R"),
}


def expose(depth: Map, detector: Detector, random: np.random.Generator) -> Stored:
    """The stored values of an exposure, (rows, columns), with bone bright (MONOCHROME2).

    Beer-Lambert for the primary beam; scatter as a wide blur of it (Boone and Seibert 1988); Poisson noise by its
    normal approximation, sound at these counts; the logarithm as digital detectors apply it.
    """
    size = (detector.columns, detector.rows)
    primary = np.exp(-1.6 * cv2.resize(depth, size, interpolation=cv2.INTER_CUBIC))
    small = cv2.resize(primary, (64, 64), interpolation=cv2.INTER_AREA)
    scattered = cv2.resize(cv2.GaussianBlur(small, (0, 0), 9), size, interpolation=cv2.INTER_LINEAR)
    beam = cv2.GaussianBlur(primary + detector.scatter * scattered, (0, 0), detector.blur)
    quanta = beam * detector.quanta * float(random.uniform(0.6, 1.5))  # exposure is never quite the same
    counted = np.maximum(quanta + np.sqrt(quanta) * random.standard_normal(quanta.shape, dtype=np.float32), 1)
    grey = -np.log(counted)
    low, high = (float(p) for p in np.percentile(grey[::4, ::4], (0.5, 99.8)))
    scaled = np.clip((grey - low) / (high - low), 0, 1) ** detector.gamma
    top = 2**detector.bits - 1
    stored: Stored = np.rint(scaled * 0.92 * top).astype(np.uint16)
    _collimate(stored, random)
    _mark(stored, detector.marker, top, random)
    return stored


def _collimate(stored: Stored, random: np.random.Generator) -> None:
    """Lead at the field's edges: black once shown."""
    if random.random() < 0.35:  # noqa: PLR2004 - about a third
        rows, columns = stored.shape
        top, left = (int(random.uniform(0, 0.04) * length) for length in (rows, columns))
        stored[: top + 1] = stored[rows - top - 1 :] = 0
        stored[:, : left + 1] = stored[:, columns - left - 1 :] = 0


def _mark(stored: Stored, letter: str, top: int, random: np.random.Generator) -> None:
    rows, columns = stored.shape
    across = 0.88 if letter == "L" else 0.06  # the patient's left is on the viewer's right
    at = (int((across + random.normal(0, 0.01)) * columns), int((0.10 + random.normal(0, 0.015)) * rows))
    drawn = np.zeros(stored.shape, np.uint8)  # OpenCV writes on 8 bits only
    cv2.putText(drawn, letter, at, cv2.FONT_HERSHEY_SIMPLEX, rows / 512, 255, 2, cv2.LINE_AA)
    stored[:] = np.maximum(stored, (drawn.astype(np.float32) / 255 * top).astype(np.uint16))
