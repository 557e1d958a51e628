"""What the publications claim, each in one short line: a panel names those that it lets a reader see.

The figures are the published ones; whether what a panel shows agrees with them is for the reader to see.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

VM, PRO, VIVIT, MAMBA = "VideoMamba", "VideoMambaPro", "ViViT", "Mamba"

CLAIMS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "S1": ("A hidden state of size N stands between input and output: h' = A h + B x, y = C h.", f"{VM} eq. 1"),
        "S2": ("Zero-order hold: Ā = exp(ΔA), B̄ = (ΔA)⁻¹ (exp(ΔA) − I) ΔB.", f"{VM} eq. 2–4"),
        "S3": ("The released code keeps exp(ΔA), but takes ΔB for B̄.", f"{MAMBA}'s code"),
        "S4": ("B, C and Δ are computed from the input: the model selects what it remembers.", f"{VM} §3.1"),
        "S5": ("A scan is linear in length in time and memory, attention is quadratic.", f"{VM} fig. 1"),
        "V1": ("Patches are a 3-D convolution of 1 × 16 × 16; L = T · H/16 · W/16 tokens.", f"{VM} §3.2"),
        "V2": ("[cls] and two position embeddings are added: a scan is sensitive to position.", f"{VM} eq. 5"),
        "V3": ("Of four bidirectional 3-D scans, spatial-first is the simplest and the best.", f"{VM} fig. 4, 7a"),
        "V4": ("Ti, S and M have 7, 26 and 74 million parameters.", f"{VM} table 1"),
        "V5": ("At 64 frames 6 times as fast as TimeSformer, with a 40th of the GPU memory.", f"{VM} fig. 1"),
        "V6": ("Larger models overfit; following a smaller teacher's last features repairs it.", f"{VM} fig. 6"),
        "V7": ("84.0 % top-1 on ImageNet-1K at 576² pixels with 74 million parameters.", f"{VM} table 2"),
        "V8": ("On K400 and SSv2, M is 2.0 and 3.0 % above ViViT-L; it sees fine motion.", f"{VM} table 3, 4"),
        "V9": ("More frames help K400 and not SSv2; higher resolution does not help.", f"{VM} fig. 7"),
        "V10": ("Long video is learnt end to end.", f"{VM} table 6, 7"),
        "V11": ("Vision Mamba without its middle [cls] and rotary embedding.", f"{VM} §3.2"),
        "V12": ("On large images too it is faster and leaner than attention.", f"{VM} fig. 1"),
        "M1": (
            "Whole rows suit the 1-D convolution: row masks beat random and tube, attention is best.",
            f"{VM} table 5",
        ),
        "M2": ("What a student sees is aligned with a CLIP teacher at the last layer alone.", f"{VM} §3.3"),
        "M3": ("Masked pre-training puts it above VideoMAE on short actions.", f"{VM} table 4"),
        "M4": ("Zero-shot retrieval above a ViT trained likewise, most on long video.", f"{VM} table 8"),
        "P1": ("Unrolled, a scan is attention whose entries carry products of Ā: early tokens fade.", f"{PRO} §3"),
        "P2": ("One Ā must serve the similar and the dissimilar tokens on the way.", f"{PRO} §3"),
        "P3": ("Two directions count a token's own term twice; masking a diagonal removes that.", f"{PRO} §4"),
        "P4": ("Elemental residual connections on Ā counter the contradiction.", f"{PRO} §4"),
        "P5": ("7.9 % above VideoMamba on K400, 1.6–2.8 % in the paper's later revision.", f"{PRO} abstract"),
        "T1": ("Tokens by uniform sampling, or by tubelets: ⌊T/t⌋ · ⌊H/h⌋ · ⌊W/w⌋ of them.", f"{VIVIT} §3.2"),
        "T2": ("Joint attention costs (n_t n_h n_w)², the other three models (n_h n_w)² + n_t².", f"{VIVIT} §3.3"),
        "T3": ("Model 3 has more parameters than 1, model 4 as many, model 2 fewer operations.", f"{VIVIT} §3.3"),
        "T4": ("From an image model: filters inflated, temporal attention starting as the identity.", f"{VIVIT} §3.4"),
        "T5": ("Small video sets need regularisation and a start from images.", f"{VIVIT} §3.4, 4.4"),
        "T6": ("Tubelets, pooling and the start are what its ablations vary.", f"{VIVIT} §4.4"),
    }
)
"""By id: the claim, and where it stands. arXiv 2403.06977, 2406.19006, 2103.15691 and 2312.00752."""


def lines(ids: Sequence[str]) -> list[str]:
    """The claims of these ids as lines of text, "M1 · … (VideoMamba table 5)."

    Raises:
        ValueError: there is no such claim.
    """
    unknown = [one for one in ids if one not in CLAIMS]
    if unknown:
        raise ValueError(f"claims: expected some of {', '.join(CLAIMS)}, got {', '.join(unknown)}")
    return [f"{one} · {CLAIMS[one][0].removesuffix('.')} ({CLAIMS[one][1]})." for one in ids]
