"""Frames to try transforms on, and generators to draw with."""

import torch


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photo(time: int = 4, height: int = 40, width: int = 56) -> torch.Tensor:
    """Frames with soft and hard places, of all levels, and unlike each other."""
    coarse = torch.rand((time, 3, 5, 7), generator=seeded(3))
    soft = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    soft[:, :, 10:20, 12:30] = torch.rand((time, 3, 1, 1), generator=seeded(4))
    return (255 * soft.permute(0, 2, 3, 1)).round().to(torch.uint8)
