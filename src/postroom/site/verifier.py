"""Who verifies the tokens of OAuth at a site, as its configuration says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postroom.config import Config, ConfigError

if TYPE_CHECKING:
    from postroom.accounts.tokens import Verifying

__all__ = ["check_verifier"]


def check_verifier(config: Config) -> Verifying | None:
    """Who verifies OAuth tokens; None where nobody does. Raises ConfigError."""
    oauth = config.oauth
    if not oauth.introspection_url:
        return None
    # With it comes an HTTP client: only where it is wanted.
    from postroom.accounts.tokens import Verifying

    secret = ""
    if oauth.client_secret_file:
        path = config.place(oauth.client_secret_file)
        try:
            secret = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as e:
            reason = getattr(e, "strerror", None) or "no text"
            raise ConfigError("oauth.client_secret_file", f"{path} can't be read: {reason}") from None
    try:
        return Verifying(oauth.introspection_url, oauth.client_id, secret, oauth.account_claim)
    except ValueError as e:
        raise ConfigError("oauth.introspection_url", str(e)) from None
