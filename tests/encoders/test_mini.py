"""MiniClap: rows depend on their own input alone, the bag is blind to order, checkpoints come back whole."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from clapbench.benchmarks.compositional import Compositional
from clapbench.encoders import mini
from clapbench.encoders.base import fingerprint, silence_after
from clapbench.encoders.mini import MiniClap
from clapbench.running.batches import EncodingPlan
from clapbench.schema import Case

BEFORE = "A bell ringing before rain falling"
SWAPPED = "Rain falling before a bell ringing"


class Captions(Compositional):
    """Captions alone, each paired with a clip that nobody opens."""

    def __init__(self, captions: tuple[str, ...]) -> None:
        super().__init__(name="captions", root=".", protocol="official")
        self.listed = captions

    def read_cases(self) -> list[Case]:
        return [Case(clips=("a",), captions=self.listed, match=((True,) * len(self.listed),))]

    def with_clips(self, cases: list[Case]) -> list[Case]:
        return cases


def encoder(*, text: str = "sequence", window: float | None = 6.0, seed: int = 0) -> MiniClap:
    torch.manual_seed(seed)
    return MiniClap(name="small", text=text, window=window, pretrained=False).eval()


def waves(*seconds: float) -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [0.1 * torch.randn(round(s * 16_000), generator=generator) for s in seconds]


def embed(model: MiniClap, clips: list[Tensor]) -> Tensor:
    with torch.no_grad():
        return model.embed_audio(clips)


def read(model: MiniClap, captions: list[str]) -> Tensor:
    with torch.no_grad():
        return model.embed_text(captions)


@pytest.mark.parametrize("window", [6.0, None])
def test_a_clip_alone_is_the_clip_among_others(window: float | None) -> None:
    model = encoder(window=window)
    clips = waves(0.01, 0.5, 1.01, 2.0, 2.0, 3.7, 0.32, 0.33)
    together = embed(model, clips)
    alone = torch.cat([embed(model, [clip]) for clip in clips])
    assert together.shape == (8, 128)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(8))
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_the_order_of_clips_and_captions_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mini, "GROUP", 3)
    model, clips = encoder(), waves(0.5, 2.0, 1.0, 3.0, 0.7)
    captions = [BEFORE, "A bell rings", "Quiet rain and a loud bell", SWAPPED, "Wind"]
    order = [3, 0, 4, 2, 1]
    torch.testing.assert_close(
        embed(model, clips)[order], embed(model, [clips[i] for i in order]), rtol=0, atol=1e-5
    )
    torch.testing.assert_close(
        read(model, captions)[order], read(model, [captions[i] for i in order]), rtol=0, atol=1e-5
    )


def test_a_caption_alone_is_the_caption_among_others() -> None:
    model, captions = encoder(), [BEFORE, "Wind", "Both a loud bell and quiet rain"]
    alone = torch.cat([read(model, [caption]) for caption in captions])
    torch.testing.assert_close(read(model, captions), alone, rtol=0, atol=1e-5)


def test_a_clip_longer_than_the_window_is_its_head() -> None:
    (long,) = waves(3.0)
    cropped = embed(encoder(window=2.0), [long])
    assert torch.equal(cropped, embed(encoder(window=2.0), [long[:32_000]]))
    assert not torch.allclose(cropped, embed(encoder(window=None), [long]), atol=1e-4)


@pytest.mark.parametrize("seconds", [0.9, 1.0, 1.6])
def test_padding_to_a_neighbour_changes_nothing(seconds: float) -> None:
    clips = waves(seconds, 5.5)
    model = encoder(window=None)
    torch.testing.assert_close(embed(model, clips)[0], embed(model, clips[:1])[0], rtol=0, atol=1e-5)


def test_silence_after_pads_and_cuts() -> None:
    padded = silence_after([torch.ones(2), torch.ones(5)], samples=3)
    assert padded.tolist() == [[1, 1, 0], [1, 1, 1]]


def test_the_bag_gives_every_permutation_one_canonical_form() -> None:
    model = encoder(text="bag")
    words = ["bell", "zebra", "loud", "quark", "a"]  # two of them unknown
    forms = {model.canonical(" ".join(order)) for order in permutations(words)}
    assert len(forms) == 1
    (form,) = forms
    assert form.count("<unknown>") == 2


def test_captions_with_one_bag_of_words_tie_to_the_bit() -> None:
    captions = (BEFORE, "Wind blowing", SWAPPED, "before BELL, a falling rain ringing!")
    plan = EncodingPlan(encoder=encoder(text="bag"), benchmark=Captions(captions))
    assert plan.encoded == (BEFORE, "Wind blowing")
    _, loader = plan.loaders(batch_size=1, num_workers=0)
    rows = [(batch.index, read(encoder(text="bag"), batch.captions)) for batch in loader]
    text = plan.embeddings(audio=[(torch.tensor([0]), torch.zeros(1, 128))], text=rows).text
    assert (text[0] == text[2]).all()
    assert (text[0] == text[3]).all()
    assert (text[0] != text[1]).any()


def test_the_sequence_tells_order_apart_and_the_bag_does_not() -> None:
    sequence, bag = encoder(), encoder(text="bag")
    assert sequence.canonical(BEFORE) != sequence.canonical(SWAPPED)
    first, second = read(sequence, [BEFORE, SWAPPED])
    assert float((first - second).norm()) > 1e-3
    torch.testing.assert_close(*read(bag, [BEFORE, SWAPPED]), rtol=0, atol=1e-6)


def test_canonical_forms_ignore_case_and_punctuation_alone() -> None:
    model = encoder()
    assert model.canonical("A bell, ringing.") == model.canonical("a BELL ringing")
    assert model.canonical("a bell") != model.canonical("a bell bell")


def test_unknown_words_share_a_token_and_coverage_counts_them() -> None:
    model = encoder()
    ids, _ = model.tokenize(["a bell", "a quark", "a zebra"])
    assert ids[1].tolist() == ids[2].tolist() != ids[0].tolist()
    assert model.canonical("a quark") == model.canonical("a zebra") == "a <unknown>"
    assert model.coverage(["a bell", "a quark", "zebra!"]) == {"unknown_words": 2 / 5}
    assert model.coverage([]) == {"unknown_words": 0.0}


def test_tokens_are_padded_and_embed_as_their_captions() -> None:
    model, captions = encoder(), ["A bell", "A bell ringing before rain falling"]
    ids, mask = model.tokenize(captions)
    assert ids.shape == mask.shape == (2, 6)
    assert mask.tolist() == [[1, 1, 0, 0, 0, 0], [1] * 6]
    assert (ids[0, 2:] == mini.PAD).all()
    with torch.no_grad():
        assert torch.equal(model.embed_tokens(ids, mask), model.embed_text(captions))


@pytest.mark.parametrize("caption", ["", " ", "…!"])
def test_a_caption_without_a_word_is_refused(caption: str) -> None:
    with pytest.raises(ValueError, match=r"model 'small': caption .* has no word"):
        encoder().embed_text(["a bell", caption])


def test_another_text_side_is_refused() -> None:
    with pytest.raises(ValueError, match="text must be 'sequence' or 'bag', got 'words'"):
        MiniClap(name="small", text="words", pretrained=False)


def test_it_is_small(tmp_path: Path) -> None:
    model = encoder()
    assert sum(parameter.numel() for parameter in model.parameters()) < 1_000_000
    model.save(tmp_path / "m.safetensors", recipe={}, dtype=torch.float16)
    assert (tmp_path / "m.safetensors").stat().st_size < 2_000_000


def test_a_saved_model_comes_back_to_the_bit(tmp_path: Path) -> None:
    model, path = encoder(seed=3), tmp_path / "m.safetensors"
    model.save(path, recipe={"seed": 3}, dtype=torch.float32)
    loaded = MiniClap(name="again", checkpoint=str(path)).eval()
    assert torch.equal(embed(loaded, waves(1.0, 2.0)), embed(model, waves(1.0, 2.0)))
    assert torch.equal(read(loaded, [BEFORE, SWAPPED]), read(model, [BEFORE, SWAPPED]))


def test_the_factor_on_cosines_is_kept_where_it_is_known(tmp_path: Path) -> None:
    model, path = encoder(), tmp_path / "m.safetensors"
    for scale in (None, 14.285714285714286):
        model.save(path, recipe={}, dtype=torch.float16, logit_scale=scale)
        loaded = MiniClap(name="again", checkpoint=str(path))
        assert loaded.logit_scale == scale
    loaded.save(path, recipe={}, dtype=torch.float16)
    assert MiniClap(name="again", checkpoint=str(path)).logit_scale == scale


def test_tensors_may_stand_in_for_the_model_s_own(tmp_path: Path) -> None:
    model, path = encoder(), tmp_path / "m.safetensors"
    tensors = {key: value + 1.0 for key, value in model.state_dict().items()}
    model.save(path, recipe={}, dtype=torch.float32, tensors=tensors)
    loaded = MiniClap(name="again", checkpoint=str(path)).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in tensors.items())


@pytest.mark.parametrize("window", [2.0, None])
def test_what_is_heard_is_each_clip_s_own_log_mel(window: float | None) -> None:
    """As long as the clip, and the same in any company to the last bits."""
    model, clips = encoder(window=window), waves(0.01, 0.5, 1.01, 3.7)
    heard = model.heard(clips)
    seconds = [min(len(clip) / 16_000, window or 9.0) for clip in clips]
    assert [len(own) - mini.MARGIN for own in heard] == [1 + int(s * 50) for s in seconds]
    for own, clip in zip(heard, clips, strict=True):
        torch.testing.assert_close(own, model.heard([clip])[0], rtol=0, atol=1e-4)
        assert (own[-mini.MARGIN + 2 :] == -2.0).all()  # silence


def test_half_precision_on_disk_is_float32_in_memory(tmp_path: Path) -> None:
    model, path = encoder(), tmp_path / "m.safetensors"
    model.save(path, recipe={}, dtype=torch.float16)
    loaded = MiniClap(name="again", checkpoint=str(path)).eval()
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    cosines = (embed(loaded, waves(1.0, 2.0)) * embed(model, waves(1.0, 2.0))).sum(dim=1)
    assert float(cosines.min()) > 0.9999


def test_a_checkpoint_keeps_its_own_vocabulary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, path = encoder(), tmp_path / "m.safetensors"
    model.save(path, recipe={}, dtype=torch.float32)
    monkeypatch.setattr(mini, "vocabulary", lambda: ("bell", "zebra"))
    loaded = MiniClap(name="again", checkpoint=str(path)).eval()
    assert loaded.words == model.words
    assert torch.equal(read(loaded, [BEFORE]), read(model, [BEFORE]))
    assert MiniClap(name="new", pretrained=False).words == ("bell", "zebra")


def test_a_checkpoint_without_a_vocabulary_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(
        ValueError,
        match=r"needed vocabulary and text in the header of .*other\.safetensors, .* got no header",
    ):
        MiniClap(name="small", checkpoint=str(path))


def test_the_fingerprint_follows_weights_and_window_but_no_name_or_place(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2), ("c", 1)):
        encoder(seed=seed).save(tmp_path / name, recipe={}, dtype=torch.float32)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a").write_bytes((tmp_path / "a").read_bytes())

    def of(path: str, **arguments: object) -> dict[str, object]:
        given = {
            "name": "x",
            "checkpoint": str(tmp_path / path),
            "source": None,
            "sha256": None,
            "window": 6.0,
        }
        return fingerprint(MiniClap, {**given, **arguments})

    assert of("a") == of("elsewhere/a", name="y")
    assert of("a") != of("b")
    assert of("a") != of("a", window=None)
    assert of("a") != of("a", text="bag")


@pytest.mark.parametrize("window", [0.0, -3.0])
def test_a_window_without_length_is_refused(window: float) -> None:
    with pytest.raises(ValueError, match="window must be positive seconds or null"):
        MiniClap(name="small", window=window, pretrained=False)
