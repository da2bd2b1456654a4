"""The built-in corpus: ten synthesised genres with lyrics, so that everything runs without a
download.

Each genre is a row of `STYLES`: tempo, groove, harmony, instruments and sound. Each song draws its
own key, mode, tempo, patterns and loudness within its genre's bounds, and at times borrows its
groove or its instruments from another genre, so that genres overlap. The lyrics belong to their
song: their words follow its mode, tempo, loudness, brightness and instruments, and topics that all
genres share in different proportions. Figures on this corpus say nothing about music.
"""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import joblib
import numpy as np
import soundfile
from filelock import FileLock

from genre_vae.collection.audio import SAMPLE_RATE as RATE
from genre_vae.collection.demo_instruments import INSTRUMENTS
from genre_vae.collection.demo_words import LINES, MOODS, SINGS_OF, TOPICS
from genre_vae.files import write_json
from genre_vae.records import FloatArray

VERSION = 2  # counts changes of the sound or the words: a corpus of another version is made anew
SECONDS = 30.0
TRACKS_PER_GENRE = 20
BORROW = 0.2  # chance that a song takes its groove, and that it takes its sound, from elsewhere

MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
PENTATONIC = {True: (0, 2, 4, 7, 9), False: (0, 3, 5, 7, 10)}  # by "is major"


@dataclass(frozen=True)
class Groove:
    """Sixteen steps a bar: ``x`` strikes, ``o`` strikes softly. `swing` delays the off-beats, as
    a share of an eighth."""

    tempo: tuple[float, float]  # beats per minute
    kick: str
    snare: str
    hat: str
    bass: str
    comp: str  # the chords' rhythm
    swing: float = 0.0
    drums: float = 1.0  # level


@dataclass(frozen=True)
class Sound:
    """Instruments by name, and what the mix does to them."""

    bass: str
    comp: str
    lead: str
    drive: float = 0.0  # distortion of comp and lead
    cutoff: float = 9000.0  # Hz, low-pass of the whole
    reverb: float = 0.1  # share of the wet signal
    dynamics: float = 0.2  # depth of the slow swell


@dataclass(frozen=True)
class Style:
    """A genre. `chords` are scale degrees from 0, one a bar; `seventh` adds a fourth note."""

    groove: Groove
    sound: Sound
    chords: tuple[tuple[int, ...], ...]
    major: float  # chance of a major key
    topics: tuple[str, ...]  # of `TOPICS`; these are three times as likely as others
    seventh: bool = False
    lead: float = 0.5  # chance that the lead plays on a step of its rhythm
    wordless: float = 0.06  # chance of no lyrics


_NONE, _FOUR, _BACK = "." * 16, "x...x...x...x...", "....x.......x..."
_EIGHTHS, _OFFBEATS, _QUARTERS = "x.o.x.o.x.o.x.o.", "..x...x...x...x.", "x...x...x...x..."
_POP = ((0, 4, 5, 3), (5, 3, 0, 4), (0, 5, 3, 4))
STYLES: dict[str, Style] = {
    "blues": Style(
        Groove((72, 105), "x.......x.x.....", _BACK, _EIGHTHS, _QUARTERS, "x.....o.x.....o.", 0.33),
        Sound("pluck", "pluck", "reed", drive=0.6, cutoff=5500, reverb=0.12),
        ((0, 0, 3, 0, 3, 3, 0, 0, 4, 3, 0, 4),),
        0.5,
        ("rain", "road"),
        seventh=True,
    ),
    "classical": Style(
        Groove((60, 110), _NONE, _NONE, _NONE, "x.......x.......", "x.o.o.o.x.o.o.o.", drums=0.0),
        Sound("strings", "piano", "strings", cutoff=7000, reverb=0.35, dynamics=0.8),
        ((0, 3, 4, 0), (0, 5, 1, 4), (0, 4, 5, 2)),
        0.6,
        ("faith", "night"),
        wordless=0.4,
    ),
    "country": Style(
        Groove((96, 132), "x.......x.......", "....o..o....o..o", "o.o.o.o.o.o.o.o.",
               "x.......x.......", "..x.x.x...x.x.x.", 0.1, 0.6),
        Sound("pluck", "banjo", "banjo", cutoff=9500, reverb=0.08),
        ((0, 3, 4, 0), (0, 0, 3, 4), (0, 4, 3, 0)),
        0.95,
        ("road", "home"),
    ),
    "disco": Style(
        Groove((112, 128), _FOUR, _BACK, _OFFBEATS, "x.o.x.o.x.o.x.o.", "..x...x..x....x."),
        Sound("synth", "strings", "brass", cutoff=10500, reverb=0.15),
        ((0, 5, 1, 4), (5, 3, 0, 4), (0, 3, 0, 4)),
        0.45,
        ("dance", "love"),
        lead=0.4,
    ),
    "hiphop": Style(
        Groove((76, 100), "x..x......x.....", _BACK, "x.oxx.o.x.oxx.o.", "x......x..x.....",
               "x...............", 0.12, 1.5),
        Sound("sub", "epiano", "epiano", cutoff=4500, reverb=0.05, dynamics=0.05),
        ((0, 0, 5, 4), (0, 5), (0, 3)),
        0.1,
        ("city", "fight"),
        lead=0.2,
    ),
    "jazz": Style(
        Groove((110, 190), "o.......o.......", "......o.........", "x...x.o.x...x.o.", _QUARTERS,
               "...o....x.....o.", 0.33, 0.45),
        Sound("upright", "epiano", "reed", cutoff=8000, reverb=0.2, dynamics=0.4),
        ((1, 4, 0, 5), (0, 5, 1, 4), (2, 5, 1, 4)),
        0.6,
        ("night", "love"),
        seventh=True,
        lead=0.7,
        wordless=0.25,
    ),
    "metal": Style(
        Groove((130, 190), "x.xxx.xxx.xxx.xx", _BACK, _QUARTERS, "x.xxx.xxx.xxx.xx",
               "x.xxx.xxx.xxx.xx", 0.0, 1.1),
        Sound("synth", "power", "power", drive=9.0, cutoff=9500, reverb=0.06, dynamics=0.05),
        ((0, 0, 1, 0), (0, 5, 6, 0), (0, 1, 0, 6)),
        0.0,
        ("fight", "night"),
        lead=0.3,
    ),
    "pop": Style(
        Groove((98, 128), "x.....x.x.......", _BACK, _EIGHTHS, "x..x..x.x..x..x.", _QUARTERS),
        Sound("synth", "pad", "voice", cutoff=10000, reverb=0.18),
        _POP,
        0.8,
        ("love", "dance"),
    ),
    "reggae": Style(
        Groove((66, 88), "........x.......", "........x.......", _EIGHTHS, "x..x....x.xx....",
               _OFFBEATS, 0.15, 0.8),
        Sound("sub", "organ", "voice", cutoff=5000, reverb=0.25),
        ((0, 3), (0, 4, 3, 0), (0, 1)),
        0.6,
        ("faith", "home"),
        lead=0.3,
    ),
    "rock": Style(
        Groove((108, 145), "x.....x.x.x.....", _BACK, _EIGHTHS, _EIGHTHS, "x.x.x.x.x.x.x.x."),
        Sound("pluck", "power", "power", drive=3.5, cutoff=8500, reverb=0.1, dynamics=0.15),
        ((0, 6, 3, 0), (0, 3, 4, 3), (5, 3, 0, 4)),
        0.5,
        ("road", "fight"),
    ),
}  # fmt: skip
GENRES = tuple(STYLES)


@dataclass(frozen=True)
class Song:
    """One song: its genre's style, with the song's own choices made."""

    genre: str
    style: Style
    tempo: float
    root: int  # MIDI note of the key
    major: bool
    loudness: float  # 0 quiet to 1 loud
    seed: int


def song(genre: str, number: int, *, seed: int) -> Song:
    """The choices of one song: the same for the same arguments."""
    song_seed = int(
        np.random.SeedSequence([seed, GENRES.index(genre), number]).generate_state(1)[0]
    )
    rng = np.random.default_rng(song_seed)
    style = STYLES[genre]
    others = [STYLES[other] for other in GENRES if other != genre]
    if rng.random() < BORROW:
        style = replace(style, groove=others[rng.integers(len(others))].groove)
    if rng.random() < BORROW:
        style = replace(style, sound=others[rng.integers(len(others))].sound)
    sound = replace(
        style.sound,
        drive=style.sound.drive * rng.uniform(0.5, 1.4),
        cutoff=style.sound.cutoff * rng.uniform(0.6, 1.25),
        reverb=style.sound.reverb * rng.uniform(0.4, 1.6),
    )
    groove = replace(style.groove, drums=style.groove.drums * rng.uniform(0.6, 1.3))
    return Song(
        genre,
        replace(style, sound=sound, groove=groove),
        tempo=rng.uniform(*groove.tempo),
        root=int(rng.integers(40, 52)),
        major=bool(rng.random() < style.major),
        loudness=float(rng.uniform(0, 1)),
        seed=song_seed,
    )


def render(song: Song) -> FloatArray:
    """The song as a waveform: (661500,) float32, 30 s at 22,050 Hz, peak below 1."""
    from scipy.signal import butter, fftconvolve, sosfilt

    rng = np.random.default_rng([song.seed, 1])
    groove, sound = song.style.groove, song.style.sound
    scale = MAJOR if song.major else MINOR
    chords = song.style.chords[rng.integers(len(song.style.chords))]
    step = 60 / song.tempo / 4
    tracks = {name: np.zeros(int(RATE * SECONDS)) for name in ("drums", "bass", "comp", "lead")}
    notes: dict[tuple[str, int, float], FloatArray] = {}

    def play(
        track: str, instrument: str, pitch: int, start: float, length: float, level: float
    ) -> None:
        length = round(min(length, 2.5), 2)
        key = instrument, pitch, length
        if key not in notes:
            notes[key] = INSTRUMENTS[instrument](440 * 2 ** ((pitch - 69) / 12), length)
        begin = int((start + rng.normal(0, 0.004)) * RATE)
        note = notes[key][: max(0, len(tracks[track]) - begin)]
        if begin >= 0 and len(note):
            tracks[track][begin : begin + len(note)] += level * note

    def pitch_of(degree: int) -> int:
        return song.root + 12 * (degree // 7) + scale[degree % 7]

    melody = rng.random(16) < song.style.lead * 0.6  # its rhythm, kept through the song
    drum_parts = (
        ("kick", groove.kick, 1.0),
        ("snare", groove.snare, 0.7),
        ("hat", groove.hat, 0.25),
    )
    place = int(rng.integers(3, 8))  # of the melody within its scale
    for bar in range(int(SECONDS / (16 * step)) + 1):
        section = bar // 4 % 2  # verse and chorus
        chord = chords[bar % len(chords)]
        degrees = [chord, chord + 2, chord + 4] + [chord + 6] * song.style.seventh
        for beat in range(16):
            start = (16 * bar + beat + (2 * groove.swing if beat % 4 == 2 else 0)) * step
            for drum, pattern, level in drum_parts:
                if pattern[beat] != "." and (bar or drum == "hat"):
                    soft = 0.5 if pattern[beat] == "o" else 1.0
                    play("drums", drum, 60, start, 0.3, level * soft * rng.uniform(0.8, 1.0))
            if groove.bass[beat] != ".":
                walk = chord + 2 * int(rng.integers(0, 3)) if song.style.seventh else chord
                play("bass", sound.bass, pitch_of(walk) - 12, start, 3 * step, 0.8)
            if groove.comp[beat] != ".":
                held = (groove.comp + "x").index("x", beat + 1) - beat if "x" in groove.comp else 4
                level = (0.35 if groove.comp[beat] == "x" else 0.2) * (0.8 + 0.4 * section)
                for degree in degrees:
                    play("comp", sound.comp, pitch_of(degree) + 12, start, held * step, level)
            if melody[beat] and (section or song.style.lead > 0.6):
                place = int(np.clip(place + rng.integers(-2, 3), 0, 9))
                five = PENTATONIC[song.major]
                pitch = song.root + 24 + 12 * (place // 5) + five[place % 5]
                play("lead", sound.lead, pitch, start, step * float(rng.integers(1, 5)), 0.45)

    harmony = tracks["comp"] + tracks["lead"]
    if sound.drive > 0.1:
        harmony = 0.5 * np.tanh(sound.drive * harmony)
    dry = groove.drums * tracks["drums"] + tracks["bass"] + harmony
    tail = rng.normal(size=RATE) * np.exp(-np.arange(RATE) / (0.18 * RATE))
    wet = fftconvolve(dry - tracks["bass"], tail / np.sqrt((tail**2).sum()))[: len(dry)]
    mix = (1 - sound.reverb) * dry + 0.6 * sound.reverb * wet
    swell = 1 - sound.dynamics * 0.5 * (1 + np.sin(2 * np.pi * np.arange(len(mix)) / len(mix) * 2))
    cutoff = min(sound.cutoff, 0.45 * RATE)
    mix = sosfilt(butter(2, cutoff, fs=RATE, output="sos"), mix * swell)
    mix += 10 ** rng.uniform(-4.5, -3) * rng.normal(size=len(mix))  # the room
    peak = 0.35 + 0.6 * song.loudness
    return np.asarray(peak * mix / np.abs(mix).max(), dtype=np.float32)


def lyrics(song: Song) -> str:
    """The words of a song, or "" for an instrumental."""
    rng = np.random.default_rng([song.seed, 2])
    if rng.random() < song.style.wordless:
        return ""
    weights = np.array([3.0 if topic in song.style.topics else 1.0 for topic in TOPICS])
    topics = rng.choice(list(TOPICS), size=2, replace=False, p=weights / weights.sum())
    moods = (
        *(MOODS["bright" if song.major else "dark"]),
        *(MOODS["fast" if song.tempo > 115 else "slow"]),
        *(MOODS["loud" if song.loudness > 0.5 else "quiet"]),
        *(MOODS["clear" if song.style.sound.cutoff > 7000 else "dim"]),
    )
    plays = SINGS_OF[song.style.sound.comp]

    def line() -> str:
        mood, other = rng.choice(moods, 2)
        noun, place = rng.choice(TOPICS[rng.choice(topics)], 2)
        words = {"mood": mood, "other": other, "noun": noun, "place": place}
        return str(rng.choice(LINES)).format(**words, sound=rng.choice(plays))

    chorus = [line() for _ in range(3)]
    verses = [[line() for _ in range(4)] for _ in range(2)]
    return "\n".join([*verses[0], "", *chorus, "", *verses[1], "", *chorus])


def ensure(
    folder: Path, *, workers: int, seed: int = 0, tracks_per_genre: int = TRACKS_PER_GENRE
) -> Path:
    """Write the corpus to a folder, unless it is there already.

    Parameters
    ----------
    folder
        Gets ``genres/<genre>/<genre>.NNNNN.flac``, ``lyrics.csv`` (columns filename, lyrics;
        instrumentals are marked or absent) and ``demo.json``. It appears whole or not at all.
    workers
        Number of processes.
    seed, tracks_per_genre
        Equal values give equal sound and words.

    Returns
    -------
    Path
        `folder`.
    """
    spec = {"version": VERSION, "seed": seed, "tracks_per_genre": tracks_per_genre}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        about = folder / "demo.json"
        if about.exists() and json.loads(about.read_text("utf-8")) == spec:
            return folder
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        for genre in GENRES:
            (partial / "genres" / genre).mkdir(parents=True)
        numbered = [(genre, number) for genre in GENRES for number in range(tracks_per_genre)]
        with joblib.parallel_config("loky", n_jobs=workers, inner_max_num_threads=1):
            rows = joblib.Parallel(batch_size=2)(
                joblib.delayed(_write_song)(partial, genre, number, seed)
                for genre, number in numbered
            )
        with (partial / "lyrics.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["filename", "lyrics"])
            writer.writerows(row for row in rows if row is not None)
        write_json(partial / "demo.json", spec)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    return folder


def _write_song(folder: Path, genre: str, number: int, seed: int) -> tuple[str, str] | None:
    """Write the audio; return the song's row of lyrics.csv, or None if it has none."""
    name = f"{genre}.{number:05d}"
    drawn = song(genre, number, seed=seed)
    soundfile.write(folder / "genres" / genre / f"{name}.flac", render(drawn), RATE, "PCM_16")
    words = lyrics(drawn)
    if words or drawn.seed % 2:
        return name, words or "[Instrumental]"
    return None
