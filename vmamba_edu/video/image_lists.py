"""Read folders of images: one sub-folder a class, as ImageNet is laid out. Its lists are read by `list_files`."""

import os
from pathlib import Path

from vmamba_edu.video.records import Record

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".webp", ".tif", ".tiff")


def read_image_folder(folder: str | os.PathLike[str]) -> tuple[list[Record], list[str]]:
    """List the images in the sub-folders of a folder.

    Returns:
        Records, by class and then by name, and the classes: the names of the sub-folders in alphabetical order, whose
        places are the class numbers (ImageNet's train and val folders, n01440764 … n15075141).

    Raises:
        ValueError: there is no sub-folder, or one holds no image; the message names it.
        OSError: the folder cannot be read.
    """
    classes = sorted(entry.name for entry in Path(folder).iterdir() if entry.is_dir())
    if not classes:
        raise ValueError(f"folder: {folder} has no sub-folders; expected one for each class, with its images inside")
    records = []
    for label, name in enumerate(classes):
        inside = Path(folder) / name
        images = sorted(path for path in inside.rglob("*") if path.suffix.lower() in IMAGE_ENDINGS)
        if not images:
            raise ValueError(f"folder: {inside} holds no image ({', '.join(IMAGE_ENDINGS)}); remove it or fill it")
        records += [Record(str(path), label) for path in images]
    return records, classes
