"""A study made from folders: blind, level-aligned, with anchors by the mask of BS.1534-3, and read with its key."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
import soundfile
import yaml
from listening_studies import sounds, web
from scipy.signal import freqz

from clapbench.listening import prepare, read_mushra, signals
from clapbench.listening.webmushra import Study

RATE = 44_100


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A reference and two systems of other levels, three clips each."""
    root = tmp_path_factory.mktemp("clips")
    return {
        name: sounds(root / name, seed=seed, gain=gain)
        for seed, (name, gain) in enumerate([("reference", 0.1), ("quiet_net", 0.01), ("loud_net", 0.3)])
    }


@pytest.fixture(scope="module")
def study(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Study:
    return made(folders, tmp_path_factory.mktemp("studies") / "My Study", seed=5)


def made(folders: dict[str, Path], out: Path, **options: object) -> Study:
    systems = {name: folder for name, folder in folders.items() if name != "reference"}
    return prepare(systems, reference=folders["reference"], out=out, **options)


def key(study: Study) -> list[dict[str, str]]:
    with study.key.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def heard(study: Study, row: dict[str, str]) -> tuple[np.ndarray, int]:
    return soundfile.read(study.config.parent / row["file"], always_2d=True)


def above(samples: np.ndarray, rate: int, *, low: float, high: float = 22_050) -> float:
    """The energy between two frequencies, in dB."""
    spectrum = np.abs(np.fft.rfft(samples[:, 0] * np.hanning(len(samples)))) ** 2
    at = np.fft.rfftfreq(len(samples), 1 / rate)
    return 10 * np.log10(spectrum[(at >= low) & (at < high)].sum())


# ---- sound


@pytest.mark.parametrize("rate", [22_050, 32_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("cutoff", signals.CUTOFFS)
def test_the_filters_keep_the_mask_of_the_recommendation(rate: int, cutoff: float) -> None:
    """Of the 3.5 kHz filter: .1 dB of ripple, 25 dB at 4 kHz, 50 dB at 4.5 kHz; the other by the same shape."""
    taps = signals.lowpass(rate, cutoff=cutoff)
    at, response = freqz(taps, worN=8192, fs=rate)
    decibels = 20 * np.log10(np.abs(response) + 1e-12)
    assert np.abs(decibels[at <= cutoff]).max() < 0.1
    assert decibels[at >= cutoff * 4 / 3.5].max() < -25
    assert decibels[at >= cutoff * 4.5 / 3.5].max() < -50
    assert (taps == taps[::-1]).all()  # linear phase
    assert len(taps) % 2 == 1


def test_an_anchor_is_in_time_with_its_reference() -> None:
    time = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * 1000 * time)[:, None] * [1.0, 0.5]
    found = signals.anchor(tone, RATE, cutoff=3500.0)
    assert found.shape == tone.shape
    assert np.abs(found - tone)[2000:-2000].max() < 0.012  # .1 dB
    click = np.zeros((RATE, 1))
    click[7000] = 1
    assert np.argmax(signals.anchor(click, RATE, cutoff=7000.0)) == 7000


def test_loudness_is_that_of_the_recommendation() -> None:
    """BS.1770-4: 997 Hz at full scale in one channel is -3.01 LUFS; 6 dB less are 6 LU less; silence has none."""
    time = np.arange(48_000) / 48_000
    tone = np.sin(2 * np.pi * 997 * time)[:, None]
    assert signals.loudness(tone, 48_000) == pytest.approx(-3.01, abs=0.01)
    assert signals.loudness(np.hstack([tone, tone]), 48_000) == pytest.approx(0.0, abs=0.01)
    assert signals.loudness(tone / 2, 48_000) == pytest.approx(-3.01 - 20 * np.log10(2), abs=0.01)
    assert signals.loudness(0 * tone, 48_000) is None
    assert signals.loudness(tone[:1000], 48_000) is None


def test_every_clip_has_one_level_and_none_clips(study: Study) -> None:
    assert study.level == -23.0
    assert study.notes == ("3 clips: BS.1534-3 recommends at least 5",)
    for row in key(study):
        samples, rate = heard(study, row)
        loud = pyloudnorm.Meter(rate).integrated_loudness(samples)
        assert np.abs(samples).max() <= 10 ** (-1 / 20)
        if row["system"].startswith("anchor"):
            assert loud == pytest.approx(float(row["loudness_lufs"]), abs=0.2)
            assert loud < -23
        else:
            assert loud == pytest.approx(-23, abs=0.2)  # the other filters of pyloudnorm are near to these
        assert samples.shape == (round(0.8 * RATE), 2)


def test_a_peak_lowers_the_level_of_all(folders: dict[str, Path], tmp_path: Path) -> None:
    """And the note names the clip with it."""
    root = tmp_path / "spiky"
    root.mkdir()
    for path in folders["quiet_net"].iterdir():
        samples, rate = soundfile.read(path)
        samples[100] = 0.9
        soundfile.write(root / path.name, samples, rate)
    found = made({**folders, "quiet_net": root}, tmp_path / "study", loudness=-20)
    assert found.level < -25
    assert f"all clips are at {found.level:.1f} LUFS, not -20.0: {root}" in found.notes[0]
    tops = [np.abs(heard(found, row)[0]).max() for row in key(found)]
    assert max(tops) == pytest.approx(10 ** (-1 / 20), abs=1e-3)


def test_anchors_are_the_reference_without_its_top(study: Study) -> None:
    """At least 25 dB less is above 4 and 8 kHz, and below 3.5 and 7 kHz all is there."""
    rows = {(row["trial"], row["system"]): row for row in key(study)}
    for trial in {trial for trial, _ in rows}:
        whole, rate = heard(study, rows[trial, "reference"])
        for anchor, cutoff in (("anchor35", 3500), ("anchor70", 7000)):
            part, _ = heard(study, rows[trial, anchor])
            stop = cutoff * 8 / 7
            assert above(whole, rate, low=stop) - above(part, rate, low=stop) > 25
            low = [above(one, rate, low=100, high=cutoff - 50) for one in (whole, part)]
            assert low[0] == pytest.approx(low[1], abs=0.1)


def test_a_study_may_be_resampled(folders: dict[str, Path], tmp_path: Path) -> None:
    found = made(folders, tmp_path / "study", rate=48_000)
    samples, rate = heard(found, key(found)[0])
    assert (rate, len(samples)) == (48_000, 38_400)


# ---- blind, and in an order from the seed


def test_what_goes_to_the_server_tells_nothing(study: Study) -> None:
    folder = study.config.parent
    assert folder.name == "my-study"
    served = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    assert served == [*(row["file"] for row in sorted(key(study), key=lambda row: row["file"])), "study.yaml"]
    assert all(re.fullmatch(r"clips/t\d(c\d|_reference)\.wav", name) for name in served[:-1])
    text = study.config.read_text("utf-8")
    assert not any(word in text for word in ("quiet", "loud_net", "anchor35:", "clip_"))
    sizes = {(folder / name).stat().st_size for name in served[:-1]}
    assert len(sizes) == 1
    assert not (folder / "key.csv").exists()


def test_the_key_names_every_sound_once(study: Study, folders: dict[str, Path]) -> None:
    rows = key(study)
    wanted = {(clip, one) for clip in study.clips for one in (*folders, "anchor35", "anchor70")}
    assert {(row["clip"], row["system"]) for row in rows} == wanted
    assert len(rows) == len(wanted) == 15
    for row in rows:
        samples, _ = heard(study, row)
        source = folders.get(row["system"])
        if source is not None:
            original, _ = soundfile.read(source / f"{row['clip']}.wav")
            assert np.abs(samples - original * 10 ** (float(row["gain_db"]) / 20)).max() < 1e-4


def test_the_seed_decides_every_order(study: Study, folders: dict[str, Path], tmp_path: Path) -> None:
    same = made(folders, tmp_path / "My Study", seed=5)
    for path in study.folder.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (same.folder / path.relative_to(study.folder)).read_bytes()
    orders, codes = set(), set()
    for seed in range(4):
        other = made(folders, tmp_path / f"s{seed}", seed=seed)
        orders.add(other.clips)
        codes |= {row["stimulus"][2:] for row in key(other) if row["system"] == "loud_net"}
    assert len(orders) > 1
    assert codes == {"c1", "c2", "c3", "c4"}


def test_the_yaml_is_what_webmushra_reads(study: Study) -> None:
    """Its parser takes a list in a list for text where both begin in one line, as PyYAML writes them."""
    text = study.config.read_text("utf-8")
    assert not re.search(r"^\s*- - ", text, re.MULTILINE)
    content = yaml.safe_load(text)
    assert (content["testId"], content["testname"]) == ("my-study", "My Study")
    welcome, volume, practice, trials, finish = content["pages"]
    assert (welcome["type"], volume["type"], practice["id"], finish["type"]) == (
        "generic",
        "volume",
        "training",
        "finish",
    )
    assert finish["writeResults"] is True
    assert finish["showResults"] is False
    assert trials[0] == "random"
    assert [page["id"] for page in trials[1:]] == ["t1", "t2", "t3"]
    for page in [practice, *trials[1:]]:
        assert (page["createAnchor35"], page["createAnchor70"], page["showConditionNames"]) == (
            False,
            False,
            False,
        )
        assert (page["randomize"], page["strict"]) == (True, True)
        for path in (page["reference"], *page["stimuli"].values()):
            assert (study.folder / path.removeprefix("configs/")).is_file()
        trial = page["id"].replace("training", "t1")
        assert list(page["stimuli"]) == [f"{trial}c{place}" for place in range(1, 5)]


def test_one_order_for_all_and_what_is_beyond_the_recommendation(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    systems = {f"net_{place}": folders["loud_net"] for place in range(11)}
    found = prepare(
        systems, reference=folders["reference"], out=tmp_path / "many", fixed_order=True, name="Zu viele"
    )
    content = yaml.safe_load(found.config.read_text("utf-8"))
    assert [page.get("id") for page in content["pages"]] == [
        "welcome",
        "volume",
        "training",
        "t1",
        "t2",
        "t3",
        None,
    ]
    assert not content["pages"][3]["strict"]  # or webMUSHRA stops at more than 12 stimuli
    assert found.config.parent.name == "zu-viele"
    assert "11 systems: BS.1534-3 recommends at most 9 on a page" in found.notes
    assert {row["stimulus"] for row in key(found)} == {
        "reference",
        *(f"t{trial}c{place:02d}" for trial in (1, 2, 3) for place in range(1, 14)),
    }


def test_the_readme_tells_how_to_run_and_read_it(study: Study) -> None:
    text = (study.folder / "README.md").read_text("utf-8")
    for words in ("?config=my-study/study.yaml", "44100 Hz", "seed 5", "key.csv", "Note: 3 clips"):
        assert words in text
    assert "clapbench listening read results/my-study/mushra.csv --key key.csv" in text


def test_answers_are_read_with_the_key(study: Study, tmp_path: Path) -> None:
    true = {"reference": 98, "quiet_net": 70, "loud_net": 50, "anchor70": 40, "anchor35": 20}
    rows = [
        (f"u{listener}", trial, row["stimulus"], true[row["system"]] + listener - 2)
        for listener in range(5)
        for trial in ("training", "t1", "t2", "t3")
        for row in key(study)
        if row["trial"] == trial.replace("training", "t1")
    ]
    found = read_mushra(web(tmp_path / "mushra.csv", rows, test="my-study"), key=study.key)
    assert found.mean == pytest.approx(true)
    assert set(found.trials) == {"clip_0", "clip_1", "clip_2"}
    assert found.systems == ("loud_net", "quiet_net")
    with pytest.raises(ValueError, match=r"If the study is blind, give its key \(--key\)"):
        read_mushra(tmp_path / "mushra.csv")


# ---- refusals


def test_clips_that_do_not_match_are_told_together(folders: dict[str, Path], tmp_path: Path) -> None:
    other = sounds(tmp_path / "other", seed=1, clips=2)
    (other / "clip_1.wav").rename(other / "clip_9.wav")
    with pytest.raises(ValueError, match="needed a clip of each name") as error:
        made({**folders, "loud_net": other}, tmp_path / "study")
    assert "loud_net lacks 2 of 3 (clip_1, clip_2); loud_net has 1 that the reference lacks (clip_9)" in str(
        error.value
    )
    assert not (tmp_path / "study").exists()


def test_clips_of_unlike_length_rate_or_channels_are_told_together(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    other = sounds(tmp_path / "other", seed=1)
    short, mono, slow = (other / f"clip_{place}.wav" for place in range(3))
    soundfile.write(short, soundfile.read(short)[0][:-1], RATE)
    soundfile.write(mono, soundfile.read(mono)[0][:, 0], RATE)
    soundfile.write(slow, soundfile.read(slow)[0], 48_000)
    with pytest.raises(ValueError, match="3 of 9 are not") as error:
        made({**folders, "loud_net": other}, tmp_path / "study")
    for words in (
        "has 35279 samples, its reference 35280",
        "has 1 channels, its reference 2",
        "has 48000 Hz, clip_0.wav",
    ):
        assert words in str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no sound", "clip_0.wav needed a sound file"),
        (np.zeros((35_280, 2)), "clip_0.wav has no loudness: it is shorter than 0.4 s, or silent"),
        (np.full((35_280, 3), 0.1), "clip_0.wav has 3 channels, not 1 or 2"),
    ],
)
def test_sounds_that_cannot_be_played(
    content: object, words: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    other = sounds(tmp_path / "other", seed=1)
    if isinstance(content, bytes):
        (other / "clip_0.wav").write_bytes(content)
    else:
        soundfile.write(other / "clip_0.wav", content, RATE)
    with pytest.raises(ValueError, match="1 of 9 are not") as error:
        made({**folders, "loud_net": other}, tmp_path / "study")
    assert words in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_low_rate_has_no_room_for_the_anchors(tmp_path: Path) -> None:
    low = {name: sounds(tmp_path / name, seed=0, rate=16_000) for name in ("reference", "net")}
    with pytest.raises(ValueError, match=r"has 16000 Hz, the anchors need 18000 \(--rate 48000 resamples\)"):
        made(low, tmp_path / "study")
    found = made(low, tmp_path / "study", rate=48_000)
    assert "clips at 16000 Hz: nothing is above 8 kHz, so the 7 kHz anchor is near to them" in found.notes


def test_other_refusals(folders: dict[str, Path], tmp_path: Path) -> None:
    reference = folders["reference"]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "key.csv").write_text("mine")
    (tmp_path / "empty").mkdir()
    for systems, options, kind, words in (
        ({}, {}, ValueError, "needed systems"),
        ({"anchor35": reference}, {}, ValueError, "none of reference, anchor35 and anchor70"),
        ({"a": reference}, {"out": tmp_path / "full"}, FileExistsError, "a key that is overwritten is lost"),
        ({"a": reference}, {"loudness": 3.0}, ValueError, "needed a loudness from -70 to 0 LUFS, got 3"),
        ({"a": reference}, {"rate": 8000}, ValueError, "needed a rate of at least 18000 Hz"),
        ({"a": tmp_path / "nowhere"}, {}, FileNotFoundError, "a: needed a folder of clips, found none at"),
        ({"a": tmp_path / "empty"}, {}, ValueError, "a: needed clips"),
    ):
        with pytest.raises(kind, match=words):
            prepare(systems, reference=reference, **{"out": tmp_path / "new", **options})
    twins = sounds(tmp_path / "twins", seed=0)
    (twins / "clip_0.flac").write_bytes(b"")
    with pytest.raises(ValueError, match=r"needed one file for each clip, got clip_0\.flac and clip_0\.wav"):
        prepare({"a": twins}, reference=reference, out=tmp_path / "new")
    assert prepare({"a": reference}, reference=reference, out=tmp_path / "empty").folder == tmp_path / "empty"
