"""Inside the kernel: traffic against arrays that are really made, the roof against its definition, the controls."""

import numpy as np
import pytest
import torch

from vmamba_edu import panels
from vmamba_edu.analysis.scan_work import (
    TYPICAL,
    Machine,
    Shape,
    draw_scan,
    floor_seconds,
    fused_work,
    measure_machine,
    naive_scan,
    naive_work,
)
from vmamba_edu.panels.computed.kernel_traffic import CHUNK, TENSORS, State, amount, chunks_of, compute, traffic

FAST = Machine("a machine of the test, measured", 1e12, 1e12, 1e12)


def bytes_of(*tensors: torch.Tensor) -> int:
    return sum(x.numel() * x.element_size() for x in tensors)


def test_the_work_is_counted_on_the_tensors_themselves():
    shape = Shape(dim=6, length=10, state=4, batch=2)
    given = draw_scan(shape)
    y = naive_scan(**given)
    A_bar = torch.exp(given["delta"][:, :, None] * given["A"][..., None])
    fused, naive = fused_work(shape), naive_work(shape)
    assert fused.read == bytes_of(*given.values())
    assert fused.written == bytes_of(y)
    assert naive.read == fused.read + 3 * bytes_of(A_bar)  # Ā, Δ u B and h
    assert naive.written == fused.written + 3 * bytes_of(A_bar)
    assert naive.exponentials == fused.exponentials == A_bar.numel()
    assert fused.multiply_adds == 3 * A_bar.numel()


def test_the_naive_scan_is_the_scan():
    from vmamba_kernels import selective_scan

    given = {name: x.double() for name, x in draw_scan(Shape(dim=3, length=17, state=4, batch=2)).items()}
    # Double precision, some twenty roundings in a row.
    torch.testing.assert_close(
        naive_scan(**given), selective_scan(**given, backend="reference"), rtol=1e-12, atol=1e-13
    )


@pytest.mark.parametrize("naive", [False, True])
def test_the_traffic_of_all_tokens_is_the_work_but_for_A(naive):
    shape = Shape(dim=192, length=512, state=8)
    read, written = traffic(192, 8, 512, naive)
    work = naive_work(shape) if naive else fused_work(shape)
    assert sum(read.values()) + 4 * 192 * 8 == work.read
    assert sum(written.values()) == work.written
    assert list(read) == list(written) == list(TENSORS)


@pytest.mark.parametrize("machine", [TYPICAL, FAST, Machine("slow memory", 1e6, 1e12, 1e12)])
def test_both_points_lie_on_the_roof(machine):
    view = compute(State(machine=machine))
    for side in (view.fused, view.naive):
        arithmetic = side.work.multiply_adds / machine.multiply_adds + side.work.exponentials / machine.exponentials
        at_best = max(arithmetic, side.work.moved / machine.bytes)
        assert side.seconds == floor_seconds(side.work, machine) == pytest.approx(at_best)
        ceiling = min(side.intensity * machine.bytes, side.work.operations / arithmetic)
        assert side.reachable == pytest.approx(ceiling)
    assert view.naive.seconds >= view.fused.seconds
    assert np.all(np.diff(view.roof) >= 0)


def test_the_last_chunk_is_shorter_and_ends_with_the_sequence():
    assert chunks_of(1568) == 25
    view = compute(State(length=1568, chunk=25))
    assert view.tokens == 1568 == view.ends[-1]
    assert view.ends[-2] == 24 * CHUNK
    assert view.naive.path[-1] == sum(view.naive.read.values()) + sum(view.naive.written.values())
    nothing = compute(State(chunk=0))
    assert nothing.tokens == nothing.forgotten == nothing.fused.path[0] == 0


@pytest.fixture
def panel():
    return panels.kernel(measure=lambda: FAST)


def test_the_slider_reaches_to_the_end_of_every_length(panel):
    panel.controls["chunk"].value = 25
    panel.controls["length"].value = 512
    assert panel.state.chunk == panel.controls["chunk"].value == panel.controls["chunk"].max == 8
    panel.controls["length"].value = 12544
    assert (panel.state.chunk, panel.controls["chunk"].max) == (8, 196)


def test_typical_values_are_labelled_until_the_machine_is_measured(panel):
    assert "typical values of a laptop, not measured" in panel.sentence()
    roof = list(panel.canvas.data[-1].y)
    panel.background.start.click()
    panel.background.thread.join()
    assert panel.state.machine == FAST
    assert "a machine of the test, measured" in panel.sentence()
    assert list(panel.canvas.data[-1].y) != roof
    panel.background.start.click()
    assert "nothing (more) to measure" in panel.background.words.value


def test_the_sentence_has_the_numbers():
    words = panels.kernel(dim=192, length=512, state=16, chunk=8).sentence()
    read, written = traffic(192, 16, 512, naive=False)
    assert f"has read {amount(sum(read.values()))} and written {amount(sum(written.values()))}" in words
    assert "After 8 of 8 chunks of 64 tokens" in words


def test_a_page_of_it_plays_the_chunks(panel, tmp_path):
    page = panel.to_html(tmp_path / "kernel.html", values=[0, 6, 25], progress=False)
    assert "After 25 of 25 chunks" in page.read_text("utf-8")


@pytest.mark.parametrize(("field", "value"), [("dim", 100), ("length", 64), ("state", 5), ("chunk", 26), ("chunk", -1)])
def test_what_cannot_be_is_named(field, value):
    with pytest.raises(ValueError, match=rf"{field}: expected .*got {value}"):
        compute(State(**{field: value}))


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 bytes"), (512, "512 bytes"), (3 * 2**10, "3 KiB"), (2**21, "2 MiB"), (2**31, "2 GiB")]
)
def test_amounts_in_words(number, words):
    assert amount(number) == words


def test_a_machine_is_measured_in_plausible_bounds():
    machine = measure_machine(2**20)
    assert machine.name.startswith("this machine, ")
    assert machine.name.endswith("measured")
    assert machine.multiply_adds > machine.exponentials > 1e6  # an exponential is several multiply-adds
    assert machine.bytes > 1e6
    assert measure_machine(2**20) is machine  # once a process
