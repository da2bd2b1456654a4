"""The vocabulary of the demo corpus: every genre can sing of every topic."""

from __future__ import annotations

TOPICS: dict[str, tuple[str, ...]] = {
    "love": ("heart", "kiss", "lover", "promise", "arms", "ring", "letter", "smile"),
    "road": ("highway", "wheels", "engine", "miles", "border", "train", "dust", "station"),
    "rain": ("rain", "tears", "river", "cloud", "window", "storm", "whiskey", "sorrow"),
    "night": ("moon", "midnight", "shadow", "stars", "dream", "silence", "lamp", "ghost"),
    "dance": ("floor", "music", "body", "lights", "rhythm", "party", "hips", "disco"),
    "city": ("street", "corner", "block", "money", "neon", "traffic", "rooftop", "hustle"),
    "fight": ("fire", "battle", "thunder", "steel", "blood", "crown", "enemy", "sword"),
    "faith": ("spirit", "prayer", "heaven", "angel", "mountain", "light", "freedom", "soul"),
    "home": ("mother", "porch", "field", "kitchen", "garden", "sister", "valley", "summer"),
}
MOODS: dict[str, tuple[str, ...]] = {
    "bright": ("golden", "happy", "sunny", "sweet"),
    "dark": ("lonely", "cold", "broken", "bitter"),
    "fast": ("running", "racing", "flying", "burning"),
    "slow": ("drifting", "waiting", "resting", "crawling"),
    "loud": ("screaming", "roaring", "shouting", "wild"),
    "quiet": ("whispered", "gentle", "hushed", "soft"),
    "clear": ("shining", "crystal", "silver", "glittering"),
    "dim": ("smoky", "dusty", "velvet", "faded"),
}
SINGS_OF: dict[str, tuple[str, ...]] = {  # what songs call the instrument of their chords
    "pluck": ("guitar", "strings"),
    "banjo": ("banjo", "strings"),
    "piano": ("piano", "keys"),
    "epiano": ("keys", "bells"),
    "strings": ("violins", "choir"),
    "pad": ("waves", "choir"),
    "organ": ("organ", "keys"),
    "power": ("guitar", "amplifier"),
}
LINES = (
    "I was {mood} by the {noun} and the {other} {place}",
    "you play a {mood} {sound} for a {other} {noun}",
    "oh {mood} {noun}, {other} {sound}",
    "take me to the {other} {place} with your {mood} {noun}",
    "we are {mood}, we are {other}, like the {sound}",
    "nobody knows the {mood} {sound} of a {other} {place}",
    "and the {mood} {noun} keeps {other} on",
)
