"""Readers run side by side: in threads, and in a DataLoader's workers, forked or spawned after the parent has read."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from video.films import LENGTH, numbers_in

from vmamba_edu.video import VideoReadError, read_clip

NAMES = ["h264.mp4", "vp9.webm", "moving.gif", "hevc.mp4", "h264.avi"]


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("each_decoder")
def test_threads_read_at_once(films):
    paths = [films(name) for name in NAMES]

    def read(job: int) -> bool:
        if job % 7 == 6:
            with pytest.raises(VideoReadError):
                read_clip(paths[0].with_name("missing.mp4"))
            return True
        indices = [job % LENGTH, 3 * job % LENGTH, 17]
        return numbers_in(read_clip(paths[job % len(paths)], indices).frames) == indices

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(60)))


# A file and not `python -c`: a spawned worker imports the main module, and needs to find the data set in it.
LOADER = """
import sys
import torch
from torch.utils.data import DataLoader, Dataset
from video.films import numbers_in
from vmamba_edu.video import VideoReadError, read_clip

class Clips(Dataset):
    def __init__(self, paths):
        self.paths = paths
    def __len__(self):
        return 4 * len(self.paths)
    def __getitem__(self, item):
        return read_clip(self.paths[item % len(self.paths)], [item, item + 20]).frames

def main(method, paths):
    alone = [read_clip(path, 4) for path in paths]  # before the fork: both decoders have been at work in the parent
    loader = DataLoader(Clips(paths), batch_size=2, num_workers=2, multiprocessing_context=method)
    read = [number for batch in loader for frames in batch for number in numbers_in(frames)]
    assert read == [number for item in range(4 * len(paths)) for number in (item, item + 20)], read
    try:
        list(DataLoader(Clips(["missing.mp4"]), num_workers=1, multiprocessing_context=method))
    except VideoReadError as error:
        assert "missing.mp4: there is no such file" in str(error)
        print("read")

if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_a_loader_read(films, tmp_path, method):
    if method == "fork" and sys.platform in {"win32", "darwin"}:
        pytest.skip("fork is not for this system")
    script = tmp_path / "load.py"
    script.write_text(LOADER)
    command = [sys.executable, str(script), method, *(str(films(name)) for name in NAMES[:3])]
    tests = Path(__file__).parents[1]
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=False, env=_with_path(tests), cwd=tmp_path
    )
    assert (run.returncode, run.stdout.strip()) == (0, "read"), run.stderr


def _with_path(folder: Path) -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
