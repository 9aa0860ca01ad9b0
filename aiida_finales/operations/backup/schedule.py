"""What makes a computer back up the profile again and again: systemd units, and the same as a line for cron."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from aiida_finales.operations.engine.profile import loaded_profile

#: minute, hour ... of cron; at night, and not at the full hour, when everything else runs
CRON = {"hourly": "17 * * * *", "daily": "17 3 * * *", "weekly": "17 3 * * 1", "monthly": "17 3 1 * *"}
#: the same for systemd
CALENDAR = {
    "hourly": "*-*-* *:17:00",
    "daily": "*-*-* 03:17:00",
    "weekly": "Mon *-*-* 03:17:00",
    "monthly": "*-*-01 03:17:00",
}


@dataclass(frozen=True)
class Schedule:
    """Texts to install by hand; ``name`` is that of the units."""

    name: str
    service: str
    timer: str
    cron: str

    def as_text(self) -> str:
        """Return everything for people, with what to do with it."""
        home = "~/.config/systemd/user"
        return "\n".join([
            f"# {home}/{self.name}.service", self.service,
            f"# {home}/{self.name}.timer", self.timer,
            "# then, once (the second line lets it run while nobody is logged in):",
            f"#   systemctl --user daemon-reload && systemctl --user enable --now {self.name}.timer",
            '#   loginctl enable-linger "$USER"',
            "",
            "# or, without systemd, a line for 'crontab -e':",
            self.cron,
        ])  # fmt: skip


def make_schedule(every: str, place: Path, keep: int) -> Schedule:
    """Return what backs up the loaded profile.

    :param every: hourly, daily, weekly or monthly.
    :param place: folder of the back-ups, absolute.
    :param keep: how many to keep.
    """
    from aiida.manage.configuration.settings import AiiDAConfigDir

    profile = loaded_profile().name
    name = f"aiida-finales-backup-{profile}"
    command = [*_find_program(), "-p", profile, "archive", "backup", "--to", str(place), "--keep", str(keep)]
    configuration = f"AIIDA_PATH={Path(AiiDAConfigDir.get()).parent}"
    # a dump of PostgreSQL needs pg_dump, which need not be where systemd and cron look
    search = f"PATH={os.environ.get('PATH', os.defpath)}"
    service = [
        "[Unit]", f"Description=Back up the AiiDA profile {profile}", "",
        "[Service]", "Type=oneshot", "Nice=10",
        f"Environment={_quote_for_systemd(configuration)} {_quote_for_systemd(search)}",
        f"ExecStart={' '.join(_quote_for_systemd(word, is_command=True) for word in command)}", "",
    ]  # fmt: skip
    timer = [
        "[Unit]", f"Description=Back up the AiiDA profile {profile} {every}", "",
        "[Timer]", f"OnCalendar={CALENDAR[every]}", "Persistent=true", "RandomizedDelaySec=300", "",
        "[Install]", "WantedBy=timers.target", "",
    ]  # fmt: skip
    line = f"env {shlex.join([configuration, search, *command])}".replace("%", r"\%")
    return Schedule(name, "\n".join(service), "\n".join(timer), f"{CRON[every]} {line}")


def _find_program() -> list[str]:
    """Return the command that starts this program, with absolute path."""
    beside = Path(sys.executable).with_name("aiida-finales")
    found = str(beside) if beside.is_file() else shutil.which("aiida-finales")
    return [found] if found else [sys.executable, "-m", "aiida_finales.entry_points.cli"]


def _quote_for_systemd(word: str, *, is_command: bool = False) -> str:
    """Quote a word for a unit file, where % and, in commands, $ have a meaning of their own."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{word.replace("$", "$$") if is_command else word}"'
