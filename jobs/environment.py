"""The environment as ours and Ray's processes need it, made of the one that somebody happens to have.

`ganworks_launcher` settles it at the start of each process, so that children inherit it: what a user's shell has set for
other programs neither keeps our processes from each other nor keeps remote data from them.
"""

import os
import pwd
from collections.abc import Mapping, MutableMapping

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_NO_PROXY = ("no_proxy", "NO_PROXY")
_USER = ("LOGNAME", "USER", "LNAME", "USERNAME")  # as getpass looks for it


def settle(environ: MutableMapping[str, str] | None = None) -> None:
    """Change the environment of this process."""
    environ = os.environ if environ is None else environ
    environ.update(changes(environ))


def changes(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what is to be set: what is right already is not in it."""
    wanted = _proxies(environ) | _person(environ)
    wanted["PYTHONUTF8"] = "1"  # text is UTF-8 in every file and pipe of ours, whatever the locale
    return {name: value for name, value in wanted.items() if environ.get(name) != value}


def _proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Exempt this machine, which is never reached through a proxy; what else is exempt stays so."""
    listed = ",".join(environ.get(name, "") for name in _NO_PROXY).replace(" ", ",").split(",")
    hosts = [_plain(host) for host in listed if host]
    return dict.fromkeys(_NO_PROXY, ",".join(dict.fromkeys([*hosts, *LOOPBACK])))


def _plain(host: str) -> str:
    """Return `::1` for `[::1]`: with brackets httpx takes it for a name with a bad port."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _person(environ: Mapping[str, str]) -> dict[str, str]:
    """Return a name for a user whom the system does not know, and a home for one who has none: Ray and torch look for both."""
    name, home = _known() or (f"uid-{os.getuid()}", environ.get("GANWORKS_HOME"))
    person = {} if any(environ.get(variable) for variable in _USER) else {"LOGNAME": name}
    return person | ({"HOME": home} if home and not environ.get("HOME") else {})


def _known() -> tuple[str, str] | None:
    try:
        entry = pwd.getpwuid(os.getuid())
    except KeyError:
        return None
    return entry.pw_name, entry.pw_dir
