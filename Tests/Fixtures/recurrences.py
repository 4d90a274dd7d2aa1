"""Writes the fixtures of RecurrenceTests: zones.txt, zone-offsets.txt and recurrences.txt.

usage: python3 recurrences.py      (in an environment that has the packages croniter and tzdata)

An oracle that shares nothing with tq: croniter says which minutes of a calendar without a zone match a line, and
zoneinfo which instants those are. Neither knows what Debian's cron does when clocks are changed, so `instants` spells
it out for each minute: whether a zone's clocks show it never, once or twice.
"""

import datetime
import importlib.resources
import io
import os
import random
import zoneinfo

import croniter

HERE = os.path.dirname(os.path.abspath(__file__))
SYSTEM = "/usr/share/zoneinfo"
ZONES = [
    "Europe/Berlin",  # one hour at 2:00 and 3:00
    "America/New_York",  # one hour at 2:00
    "Australia/Lord_Howe",  # half an hour
    "Antarctica/Troll",  # two hours
    "Asia/Kolkata",  # never
    "America/Sao_Paulo",  # at midnight, until 2019
    "Asia/Tehran",  # at midnight, until 2022
    "Africa/Casablanca",  # four times a year, then back to front
    "Pacific/Apia",  # left out 2011-12-30
    "Antarctica/Casey",  # three hours, and so a correction
]
EPOCH = datetime.datetime(1970, 1, 1)
UTC = datetime.timezone.utc
SECOND = datetime.timedelta(seconds=1)
SHIFT_END = 3 * 3600
MASK = (1 << 64) - 1


def fnv(words):
    """FNV-1a over words of 64 bits."""
    hash = 0xCBF29CE484222325
    for word in words:
        hash = ((hash ^ (word & MASK)) * 0x100000001B3) & MASK
    return f"{hash:016x}"


class SplitMix64:
    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        mixed = self.state
        mixed = ((mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9) & MASK
        mixed = ((mixed ^ mixed >> 27) * 0x94D049BB133111EB) & MASK
        return mixed ^ mixed >> 31


# Zones.


def packaged(name):
    """The file of the package tzdata: compact, with a footer for everything that repeats."""
    return importlib.resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()


def rules(name, data):
    return zoneinfo.ZoneInfo.from_file(io.BytesIO(data), key=name)


def offset(zone, second):
    moment = (EPOCH + second * SECOND).replace(tzinfo=UTC).astimezone(zone)
    return int(moment.utcoffset().total_seconds())


def offset_row(name, data):
    """The offsets at 300 instants of 1900 to 2200, which Swift draws with the same generator."""
    zone = rules(name, data)
    generator = SplitMix64(1900)
    seconds = [generator.next() % 9_467_000_000 - 2_208_988_800 for _ in range(300)]
    return f"{name} {fnv(data)} {fnv(offset(zone, second) for second in seconds)}\n"


def system_files():
    for directory, directories, names in os.walk(SYSTEM):
        directories[:] = sorted(d for d in directories if d not in ("right", "posix"))
        for name in sorted(names):
            path = os.path.join(directory, name)
            with open(path, "rb") as file:
                data = file.read()
            if data[:4] == b"TZif" and "." not in name:
                yield os.path.relpath(path, SYSTEM), data


def write_zones():
    with open(f"{HERE}/zones.txt", "w") as file:
        file.writelines(f"{name} {packaged(name).hex()}\n" for name in ZONES)
    rows, seen = [offset_row(name, packaged(name)) for name in ZONES], set()
    for name, data in system_files():
        if data not in seen:
            seen.add(data)
            rows.append(offset_row(name, data))
    with open(f"{HERE}/zone-offsets.txt", "w") as file:
        file.writelines(rows)


# What a minute of a local calendar is in a zone.


def instants(zone, local, is_fixed):
    """The instants at which a job runs because of one local minute, by the rule of Debian's cron."""
    moments = [local.replace(tzinfo=zone, fold=fold) for fold in (0, 1)]
    offsets = [int(moment.utcoffset().total_seconds()) for moment in moments]
    second = (local - EPOCH) // SECOND
    if offsets[0] == offsets[1]:
        return [second - offsets[0]]
    first, last = sorted(second - offset for offset in offsets)
    is_small = last - first < SHIFT_END
    if offset(zone, first) + first == second:
        # Clocks show it twice: a job of a fixed time runs the first time only, unless the step back is a large one.
        return [first] if is_fixed and is_small else [first, last]
    # Clocks never show it: a job of a fixed time runs when they are put forward, unless they jump far.
    return [jump(zone, first, last)] if is_fixed and is_small else []


def jump(zone, low, high):
    """The first second with the later one's offset."""
    while high - low > 1:
        middle = (low + high) // 2
        if offset(zone, middle) == offset(zone, low):
            low = middle
        else:
            high = middle
    return high


# Lines.

YEARS = (datetime.datetime(2011, 1, 1), datetime.datetime(2021, 1, 1))
YEAR = (datetime.datetime(2018, 1, 1), datetime.datetime(2019, 1, 1))
SPRING = (datetime.datetime(2018, 3, 24), datetime.datetime(2018, 4, 2))

NAMED = [
    "0 9 * * MON-FRI", "30 2 * * *", "0 2 * * *", "0 3 * * *", "30 1 * * *", "0 0 * * *", "30 0 * * *", "59 23 * * *",
    "15,45 2 * * *", "0 2,3 * * *", "30 2 * * SUN", "30 2 * 3,10 *", "0 0 1 * *", "0 0 1 1 *", "0 0 * * 0",
    "0 0 * * 7", "0 0 29 2 *", "0 0 31 * *", "0 12 13 * FRI", "0 12 */2 * FRI", "0 12 13 * */2", "0 12 */10 * MON",
    "0 0 30 4,6,9,11 *", "*/30 2 * * *", "*/15 1-3 1-7 * *", "0 */12 * * *", "0 */11 * * *", "* 2 * 3 SUN",
    "*/5 2 * 3,10 0", "0 * 30 12 *", "0 12 30 12 *", "0 0 30,31 12 *", "45 1 * 4,10 *", "*/20 0 * 2,11 *",
]
NAMED_YEAR = ["0 * * * *", "30 * * * *", "*/30 * * * *", "15 */2 * * *", "0 0-23 * * *", "0,30 0-4 * * *"]
NAMED_SPRING = ["* * * * *", "*/7 * * * *", "0-59 0-23 * * *"]


def random_field(dice, low, high, star, words=None):
    """A field, often restricted to little so that ten years have few ticks."""

    def value():
        number = dice.randint(low, high)
        if words and number - low < len(words) and dice.random() < 0.4:
            return dice.choice([str.upper, str.lower, str.capitalize])(words[number - low])
        return str(number)

    def part():
        # Not a range of one value, which croniter takes for the whole range.
        first, last = sorted(dice.sample(range(low, high + 1), 2))
        return dice.choice([value(), value(), f"{first}-{last}", f"{first}-{last}/{dice.randint(2, 6)}"])

    kind = dice.random()
    if kind < star:
        return "*"
    if kind < star + 0.06:
        return f"*/{dice.randint(2, high if high < 30 else 30)}"
    if kind < 0.75:
        return value()
    return ",".join(part() for _ in range(dice.randint(1, 3)))


MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


def random_line(dice):
    return " ".join([
        random_field(dice, 0, 59, 0.02),
        dice.choice(["2", "1", "0", "3", "23", random_field(dice, 0, 23, 0.05)]),
        random_field(dice, 1, 31, 0.5),
        random_field(dice, 1, 12, 0.45, MONTHS),
        random_field(dice, 0, 7, 0.55, DAYS),
    ])


def matches(line, window, limit):
    """The local minutes of a window and the two days around it, or nothing when they are over a limit or do not exist."""
    start, end = window[0] - datetime.timedelta(days=2), window[1] + datetime.timedelta(days=2)
    minutes = []
    try:
        # croniter calls the rule that a star in front means no restriction a bug of cron; it is the one that is meant.
        clock = croniter.croniter(line, start - SECOND, implement_cron_bug=True, max_years_between_matches=50)
        minute = clock.get_next(datetime.datetime)
        while minute < end and len(minutes) <= limit:
            minutes.append(minute)
            minute = clock.get_next(datetime.datetime)
    except (croniter.CroniterBadDateError, croniter.CroniterBadCronError):
        return None
    return minutes if 0 < len(minutes) <= limit else None


def cases():
    for lines, window in [(NAMED, YEARS), (NAMED_YEAR, YEAR), (NAMED_SPRING, SPRING)]:
        for line in lines:
            yield line, window, matches(line, window, 40_000)
    dice, count = random.Random(2011), 0
    while count < 220:
        line = random_line(dice)
        minutes = matches(line, YEARS, 1500)
        if minutes:
            count += 1
            yield line, YEARS, minutes


def write_recurrences():
    """For each line the window in seconds, then for each zone the number of ticks, their hash, and the first two."""
    zones = [rules(name, packaged(name)) for name in ZONES]
    total = 0
    with open(f"{HERE}/recurrences.txt", "w") as file:
        for line, window, minutes in cases():
            start, end = [(moment - EPOCH) // SECOND for moment in window]
            file.write(f"line {start} {end} {line}\n")
            is_fixed = not any(field.startswith("*") for field in line.split()[:2])
            for name, zone in zip(ZONES, zones):
                found = {instant for minute in minutes for instant in instants(zone, minute, is_fixed)}
                ticks = sorted(instant for instant in found if start <= instant < end)
                total += len(ticks)
                file.write(f"{name} {len(ticks)} {fnv(ticks)} {','.join(str(tick) for tick in ticks[:2])}\n")
    print(total, "ticks")


if __name__ == "__main__":
    write_zones()
    write_recurrences()
