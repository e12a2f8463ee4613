import struct
import wave

import numpy as np
import pytest

from edgecompress.data import load_data
from edgecompress.data.speech_commands import speaker_of
from edgecompress.data.wav import WavFormat, read_format
from edgecompress.errors import DataError
from edgecompress.recipe.schema import Data, Mfcc, Preprocess, Task

RATE = 1000
RAW = Preprocess(channel_axis="none")


@pytest.fixture
def write_wav(tmp_path):
    """`write_wav("yes/abc_nohash_0.wav", samples)`: int16 samples at `rate` hertz, in the official format."""

    def write(name, samples=None, rate=RATE, channels=1, width=2):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng([ord(letter) for letter in name]).integers(-(2**15), 2**15, rate) if samples is None else samples
        with wave.open(str(path), "wb") as file:
            file.setparams((channels, width, rate, len(values), "NONE", "NONE"))
            file.writeframes(np.asarray(values).astype({1: np.uint8, 2: np.int16}[width]).tobytes())
        return path

    return write


@pytest.fixture
def words(write_wav):
    """Two words and two others, four recordings each of six speakers."""
    for word in ("yes", "no", "bird", "cat"):
        for number in range(12):
            write_wav(f"{word}/{number % 6:08x}_nohash_{number // 6}.wav")
    return write_wav


@pytest.fixture
def load(tmp_path):
    return lambda **fields: load_data(Data(source="speech_commands", path=str(tmp_path), **fields), Task(), seed=0)


def test_each_folder_is_a_class_and_noise_is_none(words, load):
    words("_background_noise_/hum.wav", np.zeros(9 * RATE))
    data = load(preprocess=RAW)
    assert data.class_names == ["bird", "cat", "no", "yes"]
    assert (data.input_shape, len(data.train) + len(data.validation) + len(data.test)) == ((RATE, 1), 48)


def test_words_are_classes_and_all_others_are_unknown(words, load):
    data = load(words=["yes", "no"], preprocess=RAW)
    assert data.class_names == ["yes", "no", "_unknown_"]
    total = sum(np.bincount(split.labels, minlength=3) for split in (data.train, data.validation, data.test))
    assert total.tolist() == [12, 12, 24]


@pytest.fixture
def noise(words):
    """Two recordings of noise, 5 and 7.4 clips long; the values count on, so that a clip shows where it was cut."""
    hum, tap = np.arange(5 * RATE), 10_000 + np.arange(7 * RATE + 400)
    words("_background_noise_/hum.wav", hum)
    words("_background_noise_/tap.wav", tap)
    return [*(hum.reshape(5, RATE) / 2**15), *(tap[: 7 * RATE].reshape(7, RATE) / 2**15)]


def clips_of_silence(data):
    """Of each split, the samples of the class."""
    label = data.class_names.index("_silence_")
    found = {name: split.arrays() for name, split in (("train", data.train), ("validation", data.validation), ("test", data.test))}
    return {name: inputs[targets == label][..., 0] for name, (inputs, targets) in found.items()}


def test_silence_is_every_whole_clip_of_the_noise_once(noise, load):
    data = load(words=["yes", "no"], silence=True, preprocess=RAW)
    assert data.class_names == ["yes", "no", "_unknown_", "_silence_"]
    found = np.concatenate(list(clips_of_silence(data).values()))
    assert sorted(map(tuple, found)) == sorted(map(tuple, np.float32(noise)))
    assert load(silence=True, preprocess=RAW).class_names == ["bird", "cat", "no", "yes", "_silence_"]


def test_silence_goes_into_the_official_parts_as_their_sizes_are(noise, load, tmp_path):
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("[!_]*/*.wav"))
    for file, speaker in (("testing_list.txt", "00000000"), ("validation_list.txt", "00000001")):
        (tmp_path / file).write_text("".join(f"{name}\n" for name in names if speaker in name))
    data = load(silence=True, group_by="speaker", preprocess=RAW)
    assert {name: len(clips) for name, clips in clips_of_silence(data).items()} == {"train": 8, "validation": 2, "test": 2}
    assert [len(split) for split in (data.train, data.validation, data.test)] == [40, 10, 10]


def test_clips_of_one_recording_are_different_samples(noise, load):
    data = load(silence=True, preprocess=RAW, calibration=48)
    assert load(preprocess=RAW).fingerprint != data.fingerprint
    inputs = np.concatenate([batch for batch, _ in data.calibration.dataset(16).as_numpy_iterator()])
    assert (inputs[:, 1, 0] - inputs[:, 0, 0] == np.float32(2**-15)).sum() >= 7  # training's clips of noise: no two are taken as duplicates


def test_silence_without_noise_is_refused(words, load, features):
    with pytest.raises(DataError, match=r"_background_noise_: must hold \.wav files\. Received: none\."):
        load(silence=True)
    words("_background_noise_/hum.wav", np.zeros(RATE - 1))
    with pytest.raises(DataError, match=r"_background_noise_: must hold a recording of 1000 samples or more, for silence\."):
        load(silence=True)
    words("_background_noise_/hum.wav", np.zeros(3 * RATE), rate=2 * RATE)
    with pytest.raises(DataError, match=r"hum\.wav: all \.wav files must have one sample rate"):
        load(silence=True)
    with pytest.raises(DataError, match=r"data\.silence: must be absent for .*features\.npz; it works with a folder of recordings"):
        load_data(Data(source="speech_commands", path=str(features()), silence=True), Task(), seed=0)


def test_samples_are_those_of_the_file_filled_up_with_zeros_and_cut(words, load, write_wav, tmp_path):
    (tmp_path / "testing_list.txt").write_text("yes/00000000_nohash_0.wav\nyes/00000001_nohash_0.wav\n")
    short, long = np.array([-(2**15), 2**15 - 1, 7]), np.arange(2 * RATE)
    write_wav("yes/00000000_nohash_0.wav", short)
    write_wav("yes/00000001_nohash_0.wav", long)
    inputs, _ = load(preprocess=RAW).test.arrays()
    assert np.array_equal(inputs[0, :3, 0], short / 2**15)
    assert not inputs[0, 3:].any()
    assert np.array_equal(inputs[1, :, 0], long[:RATE] / 2**15)
    assert load(preprocess=RAW, clip_ms=250).input_shape == (250, 1)


def test_official_lists_make_the_parts(words, load, tmp_path):
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.wav"))
    for file, speaker in (("testing_list.txt", "00000000"), ("validation_list.txt", "00000001")):
        (tmp_path / file).write_text("".join(f"{name}\n" for name in names if speaker in name))
    data = load(preprocess=RAW, group_by="speaker")
    assert [len(split) for split in (data.train, data.validation, data.test)] == [32, 8, 8]


def test_recordings_of_one_speaker_stay_in_one_split(words, load):
    data = load(preprocess=RAW, group_by="speaker", validation=0.2)
    sizes = [len(split) for split in (data.train, data.validation, data.test)]
    assert sum(sizes) == 48
    assert all(size % 8 == 0 for size in sizes)  # a speaker has eight recordings


def test_a_speaker_in_two_lists_is_refused(words, load, tmp_path):
    (tmp_path / "testing_list.txt").write_text("yes/00000001_nohash_0.wav\n")
    with pytest.raises(
        DataError,
        match=r"test of .*: samples of one group must be in one part only.*Received: 1 that are in train of .* too, such as '00000001'",
    ):
        load(preprocess=RAW, group_by="speaker")


def test_coefficients_are_computed_when_samples_are_drawn(words, load):
    settings = Mfcc(sample_rate=RATE, num_bands=8, num_coefficients=4, low_hertz=20, high_hertz=500)
    data = load(preprocess=Preprocess(mfcc=settings, scale=0.1))
    inputs, _ = data.test.arrays()
    assert data.input_shape == inputs.shape[1:] == (49, 4, 1)
    with pytest.raises(DataError, match=r"data\.preprocess\.mfcc\.sample_rate: must be that of the files, 1000 hertz\. Received: 16000\."):
        load(preprocess=Preprocess(mfcc=Mfcc()))


@pytest.mark.parametrize(
    ("name", "speaker"),
    [
        ("down/189cbabe_nohash_0.wav", "189cbabe"),
        ("_unknown_/bird_d5b963aa_nohash_1.wav.wav", "d5b963aa"),
        ("_silence_/1083.wav", "_silence_/1083.wav"),
    ],
)
def test_the_speaker_is_in_the_name(name, speaker):
    assert speaker_of(name) == speaker


def test_wav_files_of_mixed_rates_are_refused_in_one_line(words, load):
    words("yes/ffffffff_nohash_0.wav", rate=2 * RATE)
    with pytest.raises(
        DataError, match=r"ffffffff_nohash_0\.wav: all \.wav files must have one sample rate, 1000 hertz as \S+\. Received: 2000"
    ):
        load()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: b"", r"must be a \.wav file\. Received: an empty file"),
        (lambda content: b"ID3" + content, r"must be a \.wav file\. Received: a file of another format"),
        (lambda content: content[:30], r"must be a whole \.wav file\."),
        (lambda content: content[:44], r"must hold samples, as many as its header says, 2000 bytes\. Received: 0 bytes"),
        (lambda content: content[:-2], r"must hold samples, as many as its header says, 2000 bytes\. Received: 1998 bytes"),
        (lambda content: content[:40] + bytes(4), r"must hold samples, as many as its header says, 0 bytes"),
    ],
)
def test_a_damaged_file_is_named(words, load, tmp_path, damage, message):
    path = tmp_path / "no/00000002_nohash_0.wav"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=rf"00000002_nohash_0\.wav: {message}"):
        load(preprocess=RAW)


@pytest.mark.parametrize(("fields", "received"), [({"channels": 2}, "16 bits, 2 channels"), ({"width": 1}, "8 bits, 1 channels")])
def test_other_kinds_of_sound_are_named(words, load, fields, received):
    words("yes/00000002_nohash_0.wav", np.zeros(8), **fields)
    with pytest.raises(DataError, match=rf"must be 16-bit PCM of one channel\. Received: format 1, {received}, 1000 hertz"):
        load(preprocess=RAW)


def test_chunks_beside_the_samples_are_passed_over(tmp_path, write_wav):
    path = write_wav("a.wav", np.arange(5))
    content = path.read_bytes()
    note = b"LIST" + struct.pack("<I", 3) + b"abc\0"  # an odd size is filled up
    path.write_bytes(content[:12] + note + content[12:36] + note + content[36:])
    assert read_format(path) == WavFormat(RATE, 5)
    extensible = struct.pack("<HHIIHHHHIH14s", 0xFFFE, 1, RATE, 2 * RATE, 2, 16, 22, 16, 4, 1, bytes(14))
    path.write_bytes(content[:12] + b"fmt " + struct.pack("<I", len(extensible)) + extensible + content[36:])
    assert read_format(path) == WavFormat(RATE, 5)


def test_a_file_that_breaks_after_the_check_is_named(words, load, tmp_path):
    data = load(preprocess=RAW)
    for path in (tmp_path / "no").iterdir():
        path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError, match=r"_nohash_[01]\.wav: must hold samples, as many as its header says"):
        data.train.arrays()


def test_folders_lists_and_settings_that_do_not_fit_are_refused(words, load, tmp_path):
    with pytest.raises(DataError, match=r"data\.words: must be folders of .*Received: 'yess'\. Did you mean 'yes'\?"):
        load(words=["yess"])
    with pytest.raises(DataError, match=r"data\.exclude: must be absent for .*; it works with an \.npz of features\. Received: 'a'"):
        load(exclude="a")
    (tmp_path / "validation_list.txt").write_text("yes/nobody_nohash_0.wav")
    with pytest.raises(DataError, match=r"validation_list\.txt: must name files of the folder\. Received: 'yes/nobody_nohash_0\.wav'"):
        load()
    (tmp_path / "validation_list.txt").unlink()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: must hold \.wav files\. Received: none\."):
        load()


@pytest.fixture
def features(tmp_path):
    """`features(**arrays)`: an .npz of features with the names of recordings."""

    def write(**arrays):
        names = [f"{('yes', 'no')[row % 2]}/{row // 6:08x}_nohash_{row % 6}.wav" for row in range(60)]
        x = np.arange(60 * 6, dtype=np.float16).reshape(60, 3, 2)
        found = {"x": x, "y": np.arange(60) % 2, "files": np.array(names), "labels": np.array(["yes", "no"]), **arrays}
        np.savez(tmp_path / "features.npz", **found)
        return tmp_path / "features.npz"

    return write


def test_features_are_grouped_by_the_speaker_in_their_names(features):
    data = load_data(Data(source="speech_commands", path=str(features()), group_by="speaker"), Task(), seed=0)
    assert (data.class_names, data.input_shape) == (["yes", "no"], (3, 2, 1))
    seen = [{int(row[0, 0, 0]) // 36 for row in split.arrays()[0]} for split in (data.train, data.validation, data.test)]
    assert sum(len(speakers) for speakers in seen) == len(set.union(*seen)) == 10


def test_samples_that_are_excluded_are_in_no_split(features):
    taken = np.arange(60) % 4 == 1
    config = Data(source="speech_commands", path=str(features(elsewhere=taken)), group_by="speaker", exclude="elsewhere")
    data = load_data(config, Task(), seed=0)
    rows = np.concatenate([split.arrays()[0][:, 0, 0, 0] // 6 for split in (data.train, data.validation, data.test)])
    assert sorted(rows) == np.flatnonzero(~taken).tolist()
    with pytest.raises(DataError, match=r"elsewhere in .*: exclude must be true or false\. Received: int64\."):
        load_data(Data(source="speech_commands", path=str(features(elsewhere=taken.astype(int))), exclude="elsewhere"), Task(), seed=0)
    with pytest.raises(DataError, match=r"data\.words: must be absent for .*features\.npz; it works with a folder of recordings"):
        load_data(Data(source="speech_commands", path=str(features()), words=["yes"]), Task(), seed=0)


def test_real_features_are_split_by_speaker_without_what_mlperf_tests_on(data_folder):
    path = data_folder / "speech_commands" / "sc_v2_test_mfcc49x10_f16.npz"
    config = Data(source="speech_commands", path=str(path), group_by="speaker", exclude="in_kws01")
    data = load_data(config, Task(), seed=0)
    assert len(data.train) + len(data.validation) + len(data.test) == 4890 - 993
    assert (data.num_outputs, data.class_names[0], data.class_names[-1]) == (12, "down", "unknown")
