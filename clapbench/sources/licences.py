"""Whose work a download is: licence, address, and how to cite it, as its authors state them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """``licence`` is that of the file, in the authors' words; ``cite`` one line."""

    licence: str
    url: str
    cite: str


LAION = Card(
    licence="CC0-1.0",
    url="https://huggingface.co/lukewys/laion_clap",
    cite="Wu, Chen, Zhang, Hui, Berg-Kirkpatrick, Dubnov. Large-scale Contrastive Language-Audio Pretraining with "
    "Feature Fusion and Keyword-to-Caption Augmentation. ICASSP 2023. arXiv:2211.06687",
)
MGA = Card(
    licence="MIT (the repository's badge; none stated for the file)",
    url="https://github.com/Ming-er/MGA-CLAP",
    cite="Li, Guo, Wang, Liu. Advancing Multi-grained Alignment for Contrastive Language-Audio Pre-training. "
    "ACM Multimedia 2024. arXiv:2408.07919",
)
M2D = Card(
    licence="NTT's own, for evaluation, non-commercial, no passing on: LICENSE.pdf in the repository",
    url="https://github.com/nttcslab/m2d",
    cite="Niizumi, Takeuchi, Yasuda, Nguyen, Ohishi, Harada. M2D-CLAP: Exploring General-purpose Audio-Language "
    "Representations Beyond CLAP. 2025. arXiv:2503.22104",
)
M2D_2024 = Card(
    licence=M2D.licence,
    url=M2D.url,
    cite="Niizumi, Takeuchi, Ohishi, Harada, Yasuda, Tsubaki, Imoto. M2D-CLAP: Masked Modeling Duo Meets CLAP for "
    "Learning General-purpose Audio-Language Representation. Interspeech 2024. arXiv:2406.02032",
)
GTE = Card(
    licence="MIT",
    url="https://huggingface.co/thenlper/gte-base",
    cite="Li, Zhang, Zhang, Long, Xie, Zhang. Towards General Text Embeddings with Multi-stage Contrastive Learning. "
    "2023. arXiv:2308.03281",
)
ROBERTA = Card(
    licence="MIT",
    url="https://huggingface.co/FacebookAI/roberta-base",
    cite="Liu et al. RoBERTa: A Robustly Optimized BERT Pretraining Approach. 2019. arXiv:1907.11692",
)
BERT = Card(
    licence="Apache-2.0",
    url="https://huggingface.co/google-bert/bert-base-uncased",
    cite="Devlin, Chang, Lee, Toutanova. BERT: Pre-training of Deep Bidirectional Transformers for Language "
    "Understanding. NAACL 2019. arXiv:1810.04805",
)
COMPA = Card(
    licence="none stated",
    url="https://github.com/Sreyan88/CompA",
    cite="Ghosh, Seth, Kumar, Tyagi, Evuru, S, Sakshi, Nieto, Duraiswami, Manocha. CompA: Addressing the Gap in "
    "Compositional Reasoning in Audio-Language Models. ICLR 2024. arXiv:2310.08753",
)

# By the name of the yaml, or of the repository on the hub for tokenizers and text encoders.
CARDS = {
    "laion": LAION,
    "laion_unfused": LAION,
    "mga": MGA,
    "m2d": M2D,
    "m2d_2024": M2D_2024,
    "m2d_stacked": M2D,
    "order": COMPA,
    "attribute": COMPA,
    "thenlper/gte-base": GTE,
    "roberta-base": ROBERTA,
    "google-bert/bert-base-uncased": BERT,
}
