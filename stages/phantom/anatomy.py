"""The thorax as a map of attenuation: how much of the beam tissue takes on its way through, in units of optical depth.

Everything is a sum of smooth shapes on a grid whose x runs from -1 (image left, the patient's right) to 1 and whose y
runs from -1 (top) to 1. Shapes are soft-edged, so the map can be computed small and enlarged.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Map = npt.NDArray[np.floating[Any]]

GRID = 256  # pixels on each side


@dataclass(frozen=True)
class Thorax:
    """What a patient brings to every study, and where things lie in it.

    Attributes
    ----------
    x, y
        (GRID, GRID) coordinates in the patient's own frame: moved, turned and scaled.
    lungs
        (2, GRID, GRID) how far each lung (patient's right, left) fills the ray, 0 to 1.
    attenuation
        (GRID, GRID) optical depth without any finding.
    dome
        (2, GRID, GRID) height of each hemidiaphragm at every column, in y.
    """

    x: Map
    y: Map
    lungs: Map
    attenuation: Map
    dome: Map


def thorax(patient: np.random.Generator, study: np.random.Generator, sex: str, age: int) -> Thorax:
    """A patient's chest as this study's positioning shows it."""
    x, y = _frame(patient, study)
    size = float(patient.normal(1, 0.06))
    breath = float(study.normal(0, 0.05))  # a deeper breath lowers the diaphragm
    dome = np.stack(
        [_dome(x, side, 0.52 + breath + (0.05 if side > 0 else 0.0) + patient.normal(0, 0.03)) for side in (-1, 1)]
    )
    lungs = np.stack([_lung(x, y, side, size, dome[i], patient) for i, side in enumerate((-1, 1))])
    body = _body(x, y, size, patient)
    depth = 1.55 * body - 1.05 * lungs.sum(axis=0)
    depth += _heart(x, y, age, patient) + _mediastinum(x, y, patient) + _spine(x, y, patient)
    depth += 0.16 * float(patient.uniform(0.7, 1.2)) * _ribs(x, y, size, patient) * body
    depth += 0.13 * _clavicles(x, y, patient)
    depth += 0.30 * _below(y, dome) * body  # liver, stomach and spleen
    depth += _vessels(x, y, lungs.sum(axis=0), patient)
    if sex == "F":
        depth += float(patient.uniform(0.05, 0.22)) * _breasts(x, y, patient) * body
    return Thorax(x, y, lungs.astype(np.float32), np.maximum(depth, 0).astype(np.float32), dome.astype(np.float32))


def step(distance: Map, softness: float) -> Map:
    """From 0 (negative distance) to 1 (positive) over six times ``softness``: Hermite's cubic, cheaper than exp."""
    t = distance * (1 / (6 * softness)) + 0.5
    np.clip(t, 0, 1, out=t)
    edge: Map = t * t * (3 - 2 * t)
    return edge


def _fourth(values: Map) -> Map:
    return np.square(np.square(values))  # ** 4 takes twenty times as long


def noise(random: np.random.Generator, slope: float, size: int = GRID) -> Map:
    """Gaussian noise whose power falls as 1/f^slope: zero mean, unit variance."""
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]
    rate = np.hypot(fx, fy)
    rate[0, 0] = np.inf
    field = np.fft.irfft2(np.fft.rfft2(random.standard_normal((size, size))) * rate ** (-slope / 2), s=(size, size))
    unit: Map = ((field - field.mean()) / field.std()).astype(np.float32)
    return unit


def _frame(patient: np.random.Generator, study: np.random.Generator) -> tuple[Map, Map]:
    y, x = np.mgrid[-1 : 1 : GRID * 1j, -1 : 1 : GRID * 1j].astype(np.float32)
    turn = float(study.normal(0, 0.035))
    zoom = float(study.normal(1.02, 0.03)) * float(patient.normal(1, 0.02))
    x, y = x - float(study.normal(0, 0.03)), y - float(study.normal(0, 0.03))
    return (x * np.cos(turn) - y * np.sin(turn)) * zoom, (x * np.sin(turn) + y * np.cos(turn)) * zoom


def _body(x: Map, y: Map, size: float, patient: np.random.Generator) -> Map:
    wide = 0.88 * size * float(patient.normal(1, 0.04))
    shoulder = wide + 0.22 * np.exp(-(((y + 0.78) / 0.3) ** 2)) - 0.75 * step(-(y + 0.93), 0.03)
    across = np.sqrt(np.clip(1 - (x / shoulder) ** 2, 0, 1))
    thick = 0.85 + 0.15 * step(y - 0.3, 0.3)
    body: Map = (thick * across * float(patient.normal(1, 0.08))).astype(np.float32)
    return body


def _dome(x: Map, side: int, height: float) -> Map:
    away = (np.abs(x) * np.sign(x * side) - 0.36) / 0.42
    outer = np.maximum(away, 0)
    return (height + 0.24 * away**2 + 0.12 * outer * outer * outer).astype(np.float32)


def _lung(x: Map, y: Map, side: int, size: float, dome: Map, patient: np.random.Generator) -> Map:
    u = x * side
    outer = 0.76 * size * (1 - 0.42 * np.clip((-0.15 - y) / 0.75, 0, 1) ** 2.2) + 0.03 * float(patient.normal())
    inner = 0.115 + 0.10 * np.clip((y + 0.1), 0, 1) + (0.05 if side > 0 else 0.0) * np.clip(y + 0.1, 0, 1)
    apex = -0.86 + 0.9 * np.maximum(np.abs(u - 0.36) - 0.12, 0) ** 1.6 + float(patient.normal(0, 0.02))
    edges = step(outer - u, 0.018) * step(u - inner, 0.02) * step(y - apex, 0.02) * step(dome - y, 0.014)
    depth = np.sqrt(np.clip(1 - ((u - 0.42) / 0.52) ** 2, 0.12, 1)) * (0.8 + 0.2 * step(y + 0.3, 0.25))
    lung: Map = (edges * depth).astype(np.float32)
    return lung


def _heart(x: Map, y: Map, age: int, patient: np.random.Generator) -> Map:
    wide = 0.27 + 0.0009 * (age - 50) + float(patient.normal(0, 0.022))
    u, v = x - 0.09, y - 0.30
    turned, along = u * 0.80 + v * 0.60, -u * 0.60 + v * 0.80
    inside = 1 - (turned / (wide * 1.22)) ** 2 - (along / (wide * 0.92)) ** 2
    return (0.62 * np.sqrt(np.clip(inside, 0, 1)) + 0.08 * step(inside, 0.06)).astype(np.float32)


def _mediastinum(x: Map, y: Map, patient: np.random.Generator) -> Map:
    wide = 0.115 * float(patient.normal(1, 0.1))
    band = 0.42 * np.exp(-_fourth(x / wide)) * step(0.5 - y, 0.2)
    knob = 0.22 * np.exp(-(((x - 0.13) / 0.075) ** 2) - ((y + 0.28) / 0.085) ** 2)
    airway = -0.20 * np.exp(-(((x + 0.01) / 0.035) ** 2)) * step(-0.25 - y, 0.05)
    shadow: Map = (band + knob + airway).astype(np.float32)
    return shadow


def _spine(x: Map, y: Map, patient: np.random.Generator) -> Map:
    bend = float(patient.normal(0, 0.015)) * np.sin(2.2 * y)
    discs = 0.75 + 0.25 * np.cos(2 * np.pi * (y * 7.5 + float(patient.uniform())))
    shadow: Map = (0.34 * np.exp(-_fourth((x - bend) / 0.085)) * discs).astype(np.float32)
    return shadow


def _ribs(x: Map, y: Map, size: float, patient: np.random.Generator) -> Map:
    u = np.abs(x) / (0.86 * size)
    spacing, start = float(patient.normal(0.158, 0.005)), float(patient.normal(-0.83, 0.02))
    slope_behind = 0.30 * u**2 + 0.12 * u - 0.10 * np.sin(np.pi * np.clip(u / 0.55, 0, 1)) + start
    slope_front = start + 0.62 - 0.42 * u**1.4
    behind, front = np.zeros_like(x), np.zeros_like(x)
    for number in range(10):
        short = step(0.62 + 0.38 * min(number / 4, 1) - u, 0.04)  # the upper ribs are
        behind += _tube(y - slope_behind - spacing * number, 0.033) * short
        front += _tube(y - slope_front - spacing * number, 0.040) * short
    behind *= step(u - 0.06, 0.02)
    front *= step(u - 0.45, 0.05)
    ribs: Map = (step(1.0 - u, 0.03) * (behind + 0.45 * front)).astype(np.float32)
    return ribs


def _clavicles(x: Map, y: Map, patient: np.random.Generator) -> Map:
    u = np.abs(x)
    curve = (
        -0.66 + float(patient.normal(0, 0.02)) - 0.13 * u + 0.05 * np.sin(7 * u) + 0.04 * x * float(patient.normal())
    )
    shadow: Map = (_tube(y - curve, 0.034) * step(u - 0.09, 0.02) * step(0.72 - u, 0.03)).astype(np.float32)
    return shadow


def _tube(distance: Map, radius: float) -> Map:
    """How long a ray's way through a tube is, in its diameters."""
    way: Map = np.sqrt(np.maximum(1 - (distance / radius) ** 2, 0))
    return way


def _below(y: Map, dome: Map) -> Map:
    return step(y - dome.min(axis=0), 0.05)


def _breasts(x: Map, y: Map, patient: np.random.Generator) -> Map:
    radius = float(patient.uniform(0.26, 0.38))
    inside = 1 - ((np.abs(x) - 0.42) / radius) ** 2 - ((y - 0.34) / radius) ** 2
    lower: Map = np.sqrt(np.clip(inside, 0, 1)).astype(np.float32)
    return lower


def _vessels(x: Map, y: Map, lungs: Map, patient: np.random.Generator) -> Map:
    """Branching shadows, thick at the hila and fading outward: ridges of correlated noise."""
    ridges = np.exp(-((noise(patient, 3.0) / 0.22) ** 2))
    hila = np.exp(-np.hypot((np.abs(x) - 0.20) / 0.34, (y + 0.02) / 0.42))
    knots = 0.16 * np.exp(-(((np.abs(x) - 0.20) / 0.07) ** 2) - ((y + 0.02) / 0.12) ** 2)
    field = (0.26 * float(patient.uniform(0.6, 1.2)) * ridges * hila + knots) * np.minimum(lungs, 1)
    smooth: Map = cv2.GaussianBlur(field.astype(np.float32), (0, 0), 0.9)
    return smooth
