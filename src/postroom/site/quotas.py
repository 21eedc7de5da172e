"""[quota] as the store has it: what an account and a domain may keep where no limit of their own is set."""

from __future__ import annotations

from postroom.config import Config
from postroom.store.values import Quotas


def quotas(config: Config) -> Quotas:
    """The site's defaults."""
    own = config.quota
    return Quotas(own.mail, own.mail_letters, own.domain_mail, own.domain_letters)
