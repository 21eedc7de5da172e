"""What is held against clients and letters at a site, out of its configuration."""

from __future__ import annotations

from postroom.config import Config, Socket
from postroom.intake.checks import CHECKS
from postroom.intake.checks.greylist import greylist_check
from postroom.intake.checks.hello import hello_check
from postroom.intake.checks.junk_headers import junk_headers_check
from postroom.intake.checks.memory import FILE, Memory
from postroom.intake.checks.rate import rate_check
from postroom.intake.judging import CallerCheck, Judging, Stage
from postroom.intake.milter.client import Place
from postroom.intake.milter.session import DEFAULTS, Milter
from postroom.site.places import Places

__all__ = ["judging"]


def judging(config: Config) -> Judging:
    """The checks that are switched on, in their order. Raises nothing: what they need is opened when it is used."""
    checks = config.checks
    memory = Memory(Places(config.root).checks / FILE)
    rcpt: list[CallerCheck] = []
    # Who is listed is told so; greylisting would only put that off.
    if checks.blocklists:
        rcpt.append(_blocklist(config))
    if checks.greylist:
        rcpt.append(greylist_check(memory, checks.greylist_delay, checks.greylist_keep))
    return Judging(
        {
            Stage.HELLO: [_hello(config)] if checks.hello != "off" else [],
            Stage.MAIL: [rate_check(memory, checks.rate_per_minute)] if checks.rate_per_minute else [],
            Stage.RCPT: rcpt,
        },
        CHECKS,
        [junk_headers_check(checks.junk_headers)] if checks.junk_headers else [],
        [_milter(config, each) for each in config.smtp.milters],
        config.limits.exempt_networks,
        config.smtp.max_message_size,
    )


def _hello(config: Config) -> CallerCheck:
    return hello_check((config.hostname, *config.domains), strict=config.checks.hello == "strict")


def _blocklist(config: Config) -> CallerCheck:
    # Half as much memory again as everything else here, and a tenth of a second: only where it is wanted.
    from postroom.intake.checks.blocklist import blocklist_check, make_resolver

    servers = [(each.host, each.port) for each in config.dns.resolver]
    return blocklist_check(config.checks.blocklists, make_resolver(servers))


def _milter(config: Config, socket: Socket) -> Milter:
    place = Place(path=str(config.place(socket.path))) if socket.path else Place(socket.host, socket.port)
    return Milter(place, config.hostname, DEFAULTS[config.smtp.milter_default], config.smtp.milter_timeout)
