"""The published model zoo by name, and what is said when the hub does not give a file. No test needs a network."""

import socket
import sys
import types

import pytest
import torch
from agreement import small_model
from huggingface_hub import errors

from vmamba_edu import create_model
from vmamba_edu.models import VideoMamba, from_pretrained, list_pretrained, load_checkpoint
from vmamba_edu.models.checkpoints.hub import download, split_hub_id
from vmamba_edu.models.checkpoints.zoo import PublishedWeights, published_weights

ZOO_NAME = "videomamba_t16_k400_f16_res224"
REPOSITORY = "OpenGVLab/VideoMamba"


@pytest.mark.parametrize(
    ("name", "model", "keywords"),
    [
        (ZOO_NAME, "videomamba_tiny", {"img_size": 224, "num_frames": 16, "num_classes": 400}),
        ("videomamba_m16_k400_mask_ft_f64_res224to384", "videomamba_middle", {"img_size": 384, "num_frames": 64}),
        ("videomamba_s16_ssv2_f16_res224to288", "videomamba_small", {"img_size": 288, "num_classes": 174}),
        ("videomamba_m16_breakfast_mask_ft_f32_res224", "videomamba_middle", {"num_frames": 32, "num_classes": 10}),
        ("videomamba_s16_coin_f64_res224", "videomamba_small", {"num_frames": 64, "num_classes": 180}),
        ("videomamba_t16_in1k_res224to448to576", "videomamba_image_tiny", {"img_size": 576, "num_classes": 1000}),
        ("videomamba_b16_in1k_res224", "videomamba_image_base", {"img_size": 224}),
        ("videomamba_m16_ssv2_mask_pt_f8_res224", "videomamba_masked_middle", {"num_frames": 8, "img_size": 224}),
        ("videomamba_m16_25M_f8_res224", "videomamba_middle", {"num_frames": 8, "num_classes": 0}),
    ],
)
def test_a_name_says_all(name, model, keywords):
    published = published_weights(f"{name}.pth")
    assert published == PublishedWeights(name, model, published.keywords | keywords)
    assert published.file == f"{name}.pth"


def test_every_name_of_the_zoo_makes_a_model():
    assert len(list_pretrained()) == len(set(list_pretrained())) == 63
    for name in list_pretrained():
        published = published_weights(name)
        with torch.device("meta"):
            model = create_model(published.model, **published.keywords, depth=1)
        assert model.config.img_size == published.keywords["img_size"]


def test_a_name_nearly_of_the_zoo_is_guessed():
    with pytest.raises(ValueError, match=rf"the model zoo has no 'videomamba_t16_k400_f12_res224'; .*{ZOO_NAME}"):
        from_pretrained("videomamba_t16_k400_f12_res224")
    with pytest.raises(ValueError, match=r"has no 'resnet'; there are videomamba_t16_in1k_res224, .* and 59 more"):
        from_pretrained("resnet")
    with pytest.raises(FileNotFoundError, match=rf"there is no file vidomamba_t16_k400_f16_res224, nor .*{ZOO_NAME}"):
        load_checkpoint(small_model(), "vidomamba_t16_k400_f16_res224")


def test_a_file_downloaded_by_hand_makes_its_model(tmp_path):
    """The real ones are large: this one has their layout and the weights of a model of one block."""
    torch.manual_seed(0)
    small = {"depth": 1, "embed_dim": 16}
    trained = create_model("videomamba_tiny", num_frames=16, **small)
    torch.save({"model": trained.state_dict()}, tmp_path / f"{ZOO_NAME}.pth")
    model = from_pretrained(ZOO_NAME, folder=tmp_path, **small)
    assert isinstance(model, VideoMamba)
    assert not model.training
    assert all(torch.equal(value, trained.state_dict()[key]) for key, value in model.state_dict().items())
    longer = from_pretrained(ZOO_NAME, folder=tmp_path, num_frames=32, **small)
    assert longer.temporal_pos_embedding.shape == (1, 32, 16)
    with pytest.raises(FileNotFoundError, match=r"there is no file .*videomamba_t16_k400_f8_res224\.pth"):
        from_pretrained("videomamba_t16_k400_f8_res224", folder=tmp_path)


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("owner/name", ("owner/name", None)),
        ("owner/na.me-1/file.pth", ("owner/na.me-1", "file.pth")),
        ("owner/name/folder/file.safetensors", ("owner/name", "folder/file.safetensors")),
        ("owner/file.pth", None),  # a file that is not there
        ("owner/name/file.txt", None),
        ("./owner/name", None),
        ("/owner/name", None),
        ("~/name", None),
        ("name", None),
        ("owner/name/folder", None),
    ],
)
def test_what_a_hub_id_is(source, parts):
    assert split_hub_id(source) == parts


class FakeHub(types.ModuleType):
    """Stands for huggingface_hub: its cache and its answers are dictionaries; an answer may be an exception."""

    def __init__(self, cache: dict | None = None, answers: dict | None = None):
        super().__init__("huggingface_hub")
        self.errors = errors
        self.constants = types.SimpleNamespace(ENDPOINT="https://hub.invalid", HF_HUB_OFFLINE=False)
        self.cache, self.answers, self.asked = cache or {}, answers or {}, []

    def try_to_load_from_cache(self, repository: str, name: str):
        return self.cache.get(f"{repository}/{name}")

    def hf_hub_download(self, repository: str, name: str) -> str:
        self.asked.append(f"{repository}/{name}")
        answer = self.answers.get(f"{repository}/{name}")
        if answer is None:
            raise answer_of("RemoteEntryNotFoundError")
        if isinstance(answer, Exception):
            raise answer
        return answer


def answer_of(name: str) -> Exception:
    """An error of huggingface_hub, made without the response that some of them ask for."""
    kind = getattr(errors, name)
    error = kind.__new__(kind)
    error.args = ("no",)
    return error


@pytest.fixture
def hub(monkeypatch):
    """Install a hub, with a network that knows its address."""

    def install(**keywords) -> FakeHub:
        fake = FakeHub(**keywords)
        monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
        monkeypatch.setitem(sys.modules, "huggingface_hub.constants", fake.constants)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args: [])
        return fake

    return install


@pytest.mark.parametrize("source", [f"{REPOSITORY}/{ZOO_NAME}.pth", ZOO_NAME])
@pytest.mark.parametrize("where", ["cache", "answers"])
def test_a_file_of_the_hub_is_loaded(tmp_path, hub, source, where):
    model, other = small_model(), small_model()
    with torch.no_grad():
        model.cls_token.fill_(3)
    torch.save(model.state_dict(), tmp_path / "a.pth")
    fake = hub(**{where: {f"{REPOSITORY}/{ZOO_NAME}.pth": str(tmp_path / "a.pth")}})
    load_checkpoint(other, source)
    assert torch.equal(other.cls_token, model.cls_token)
    assert bool(fake.asked) is (where == "answers")


def test_what_lies_here_comes_before_the_hub(tmp_path, hub, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    torch.save(small_model().state_dict(), "owner/name/a.pth")
    fake = hub()
    load_checkpoint(small_model(), "owner/name/a.pth")
    with pytest.raises(FileNotFoundError, match=r"there is no file owner/name/b\.pth$"):
        load_checkpoint(small_model(), "owner/name/b.pth")
    assert not fake.asked


def test_a_repository_alone_stands_for_its_usual_files(hub):
    hub(answers={"owner/name/pytorch_model.bin": "/there/b.bin"})
    assert str(download("owner/name")) == "/there/b.bin"
    hub(
        answers={"owner/name/model.safetensors": "/there/a.safetensors", "owner/name/pytorch_model.bin": "/there/b.bin"}
    )
    assert str(download("owner/name")) == "/there/a.safetensors"


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ("LocalEntryNotFoundError", ConnectionError, r"o/n/a\.pth is not in the cache, and the hub cannot be reached"),
        ("OfflineModeIsEnabled", ConnectionError, "cannot be reached"),
        ("HfHubHTTPError", ConnectionError, "cannot be reached"),
        ("GatedRepoError", PermissionError, "o/n is open to those alone whom its owners let in"),
        ("RepositoryNotFoundError", FileNotFoundError, "the hub has no repository 'o/n'"),
        ("RemoteEntryNotFoundError", FileNotFoundError, r"o/n has no file a\.pth"),
    ],
)
def test_every_refusal_of_the_hub_is_one_clear_error(hub, answer, error, message):
    hub(answers={"o/n/a.pth": answer_of(answer)})
    with pytest.raises(error, match=message):
        download("o/n", "a.pth")


def test_without_a_network_that_is_said_at_once(hub, monkeypatch):
    fake = hub()

    def unknown(*args):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    model = small_model()
    with pytest.raises(ConnectionError, match=rf"{ZOO_NAME}\.pth is not in the cache.* give its path"):
        load_checkpoint(model, ZOO_NAME)
    with pytest.raises(ConnectionError, match="cannot be reached"):
        from_pretrained(ZOO_NAME)
    assert not fake.asked


def test_a_proxy_may_know_more_than_this_machine(hub, monkeypatch):
    fake = hub(answers={"o/n/a.pth": "/there/a.pth"})
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: pytest.fail("looked up behind the proxy's back"))
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": "http://proxy.invalid"})
    assert str(download("o/n", "a.pth")) == "/there/a.pth"
    assert fake.asked


def test_without_huggingface_hub_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"pip install 'vmamba-edu\[lab\]'"):
        load_checkpoint(small_model(), ZOO_NAME)
