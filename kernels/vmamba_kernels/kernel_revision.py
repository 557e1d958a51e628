"""A kernel's revision: what tells Numba that compiled code on disk is out of date.

Numba keeps compiled code beside the sources and compiles anew when the file changes in which a kernel stands. It does
not look at the other files from which the kernel is built. So every kernel takes a `Revision` as its first argument: an
object without content, whose *type* carries a digest of all these files and of the processor that they are compiled
for. Compiled code is filed under the types of a kernel's arguments, so after an edit in any of the files the old code
is no longer found.
"""

import hashlib
from pathlib import Path

from numba.core import types
from numba.extending import NativeValue, models, register_model, typeof_impl, unbox

from vmamba_kernels.machine import TARGET

SOURCES = (
    "machine.py",
    "numba_conv.py",
    "numba_scan.py",
    "numba_scan_backward.py",
    "numba_tiles.py",
    "vector_intrinsics.py",
    "vector_math.py",
)


class Revision:
    """The revision of the kernels that are installed."""


class RevisionType(types.Type):
    def __init__(self, digest: str) -> None:
        super().__init__(name=f"Revision({digest})")


def _digest() -> str:
    folder = Path(__file__).parent
    sources = b"".join((folder / name).read_bytes() for name in SOURCES)
    return hashlib.sha256(sources + repr(TARGET).encode()).hexdigest()[:16]


REVISION = Revision()
REVISION_TYPE = RevisionType(_digest())


@typeof_impl.register(Revision)
def _type_of_revision(revision, context):
    return REVISION_TYPE


register_model(RevisionType)(models.OpaqueModel)


@unbox(RevisionType)
def _unbox_revision(revision_type, revision, c):
    return NativeValue(c.context.get_dummy_value())
