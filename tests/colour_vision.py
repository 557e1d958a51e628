"""What colours look like to whom, and how far apart they are: for tests of the palette and of the panels.

Deficiencies are simulated with the matrices of Machado, Oliveira and Fernandes, "A Physiologically-based Model for
Simulation of Color Vision Deficiency" (2009), severity 1.0, which act on linear RGB. Distances are Euclidean in CIELAB
(D65): about 2.3 is the least that is noticed side by side (Mahy, Van Eycken and Oosterlinck 1994). Contrast is that of
WCAG 2.2.
"""

import re

import numpy as np

DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE_POINT = TO_XYZ.sum(axis=1)
NAMES = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0)}


def rgb(colour: str) -> np.ndarray:
    """A CSS colour, "#rgb", "#rrggbb", "rgb(…)", "rgba(…)" over white, "white" or "black", as sRGB from 0 to 1."""
    if colour in NAMES:
        return np.array(NAMES[colour])
    if colour.startswith("#"):
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        return np.array([int(digits[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    *channels, alpha = [float(number) for number in re.findall(r"[\d.]+", colour)] + [1.0] * colour.startswith("rgb(")
    return alpha * np.array(channels) / 255 + (1 - alpha)


def linear(srgb: np.ndarray) -> np.ndarray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """From 1 (the same) to 21 (black on white)."""
    light, dark = sorted((0.05 + float(linear(rgb(colour)) @ TO_XYZ[1]) for colour in (one, other)), reverse=True)
    return light / dark


def seen(srgb: np.ndarray, deficiency: str) -> np.ndarray:
    """sRGB (…, 3) as somebody sees it, in CIELAB (…, 3)."""
    simulated = np.clip(linear(srgb) @ DEFICIENCIES[deficiency].T, 0, 1)
    ratio = simulated @ TO_XYZ.T / WHITE_POINT
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def distance(one: str, other: str, deficiency: str = "none") -> float:
    """How far apart two colours are for somebody, in CIELAB."""
    return float(np.linalg.norm(seen(rgb(one), deficiency) - seen(rgb(other), deficiency)))
