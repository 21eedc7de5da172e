"""The milter protocol's client: filters such as rspamd and OpenDKIM look at letters while they come in."""
