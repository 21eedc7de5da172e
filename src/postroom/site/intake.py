"""The door of the house, out of a site's configuration: whom mail is for, what is held against it, who may send."""

from __future__ import annotations

from postroom.config import Config
from postroom.intake.accept import Intake
from postroom.intake.checks.memory import FILE, Memory
from postroom.intake.recipients import Recipients
from postroom.intake.refusals import Refusals
from postroom.intake.sending import Sending
from postroom.site.judging import judging
from postroom.site.places import Places
from postroom.store.interface import Store

__all__ = ["intake"]


def intake(config: Config, store: Store, refusals: Refusals) -> Intake:
    """The intake of a worker. Raises nothing: what checks need is opened when it is used."""
    recipients = Recipients(
        store, config.domains, catch_all=config.catch_all, case_sensitive=config.smtp.case_sensitive
    )
    memory = Memory(Places(config.root).checks / FILE)
    return Intake(
        store,
        config.hostname,
        config.domains,
        judging=judging(config),
        recipients=recipients,
        sending=Sending(memory, config.limits.letters_per_hour, config.limits.letters_per_day),
        refusals=refusals,
    )
