"""The table of limits: every length, count, depth and time that a peer could push at, with its reason.

Each is used where it is enforced by its name here, and has a test that sends the limit and one more.
"""

from __future__ import annotations

from typing import Final

# --- connections
GREETING_SECONDS: Final = 30.0
"""Until TLS is shaken and the client has been greeted."""
LOGIN_SECONDS: Final = 60.0
"""POP3, IMAP, submission: between commands before the login."""
UNAUTHENTICATED_SECONDS: Final = 180.0
"""POP3, IMAP, submission: the whole session without a login."""
SMTP_COMMAND_SECONDS: Final = 300.0
"""RFC 5321 4.5.3.2.7."""
SMTP_DATA_SECONDS: Final = 180.0
"""RFC 5321 4.5.3.2.5: between chunks of DATA."""
POP3_IDLE_SECONDS: Final = 600.0
"""RFC 1939 3: at least ten minutes."""
IMAP_IDLE_SECONDS: Final = 1860.0
"""RFC 9051 5.4: at least thirty minutes."""
DRAIN_SECONDS: Final = 8.0
"""Sessions get so long to finish their command at shutdown."""
CONNECTIONS_PER_WORKER: Final = 20_000
"""At a time, whatever the descriptors allow: at 64 kB each they hold 1.3 GB at most."""
CONNECTION_GROUPS: Final = 32
"""Listeners' names whose connections are counted apart, over all workers."""
COUNTED_ADDRESSES: Final = 16_384
"""Cells of each of the four rows in which connections are counted by address: with 5,000 connections at a time one
in two hundred addresses counts for one more than it has; with a thousand, none does."""
PROXY_SECONDS: Final = 10.0
"""From the accepted connection to the whole PROXY header: the specification asks for three at least."""
PROXY_LINE_OCTETS: Final = 107
"""A header of version 1 (PROXY protocol 2.1)."""
PROXY_HEADER_OCTETS: Final = 4096
"""A header of version 2 with all its extra fields: two addresses and a certificate's names fit many times."""
PARTING_SECONDS: Final = 5.0
"""A session that is ended by hand has so long to finish its command and hear why; then it is cut off."""
RETIRED_WORKERS: Final = 3
"""Replaced by reloads and still with sessions, for each worker; of more the oldest is ended."""
RENEW_SECONDS: Final = 10.0
"""Workers have so long to load new certificates, at a reload that changes nothing else."""
RELOAD_SECONDS: Final = 300.0
"""`postroom reload` waits so long: each worker may take READY_SECONDS to start."""
RELOAD_CALLERS: Final = 16
"""`postroom reload` that wait at a time."""
ACCEPTS_PER_TURN: Final = 64
"""Connections taken from one socket before those that are open have their turn."""
RESCUE_SECONDS: Final = 0.1
"""A connection that its worker has not accepted by then (it was killed, or is held up) is any worker's."""
OUTPUT_HIGH_WATER: Final = 256 * 1024
"""A session that answers more than this waits for its peer to read."""
INPUT_HIGH_WATER: Final = 256 * 1024
"""Reading pauses while so much lies unread."""
LINES_PER_TURN: Final = 256
"""Pipelined commands that one session may have answered before the others get their turn."""
SLICE_SECONDS: Final = 0.001
"""Who has much to do (a FETCH or SEARCH of a whole mailbox, a large maildrop) gives way to the others so often."""
SLICE_OCTETS: Final = 256 * 1024
"""Or it does after so many octets of letters."""
SLICE_SECONDS_CROWDED: Final = 0.000_25
"""The same as SLICE_SECONDS while others speak: a person at a terminal then waits for a fraction of it."""
SLICE_OCTETS_CROWDED: Final = 64 * 1024
"""The same as SLICE_OCTETS while others speak."""
CROWDED_SECONDS: Final = 0.05
"""So long after somebody was heard of, who has much to do works in small slices."""
TURNS_OF_REST: Final = 3
"""Turns of the loop in which nobody is heard of, before it goes on: a command's answer and a commit take two."""
TURNS_GIVEN: Final = 8
"""Turns that it waits for those at most: where many speak without end, it gets one in eight."""
CLOSE_SECONDS: Final = 30.0
"""A close waits so long for the peer to take the last words, where the session has no deadline."""
LINGER_SECONDS: Final = 2.0
"""RFC 1122 4.2.2.13: closing over unread octets resets the connection; they are read and dropped so long."""
REFUSE_SECONDS: Final = 1.0
"""Accepting pauses so long when the process is out of descriptors."""
CLIENT_HELLO_OCTETS: Final = 16_384
"""Looked at before the handshake (one TLS record, RFC 8446 5.1)."""
CLIENT_HELLO_LOOKS: Final = 64
"""How often, while it comes in pieces."""
DESCRIPTORS_KEPT: Final = 40
"""Of the process's, for the store and the rest: connections take what is left (never less than one)."""
INPUT_HIGH_WATER_BEFORE_LOGIN: Final = 4096
"""The same as INPUT_HIGH_WATER where a login is required and hasn't been: a connection may cost 64 kB in all."""
OUTPUT_HIGH_WATER_BEFORE_LOGIN: Final = 2048
"""The same as OUTPUT_HIGH_WATER there."""
READ_OCTETS_BEFORE_LOGIN: Final = 4096
"""Taken from the kernel at a time."""
READ_OCTETS: Final = 64 * 1024
"""Taken at a time behind the login: one system call for a large piece of a letter."""
BAD_COMMANDS: Final = 20
"""Errors in one session before it is closed."""

# --- the tap and the talk between our own processes
ROW_OCTETS: Final = 1000
"""Kept of one line or reply."""
CONVERSATION_ROWS: Final = 400
"""Kept of one session: what a person reads, in `postroom trace`."""
CONVERSATION_OCTETS: Final = 40_000
"""Kept of one session."""
CONVERSATION_OCTETS_BEFORE_LOGIN: Final = 8_000
"""The same where a login is required and hasn't been: a connection may cost 64 kB in all."""
RECENT_CONVERSATIONS: Final = 200
"""Sessions that have ended and are still shown; the oldest go."""
TAP_OCTETS: Final = 64 * 1024 * 1024
"""Kept of all sessions of one process."""
FOLLOWER_ROWS: Final = 1000
"""Waiting for one follower; further ones are dropped."""
IPC_LINE_OCTETS: Final = 1024 * 1024
"""Of one message between our processes: a conversation that is shown fits into it many times."""
IPC_CALLS: Final = 1000
"""Calls under way on one connection; more wait."""

# --- SMTP
SMTP_COMMAND_OCTETS: Final = 2048
"""RFC 5321 4.5.3.1.4 asks for 512 and extensions add to it."""
SMTP_AUTH_LINE_OCTETS: Final = 12_288
"""RFC 4954 4."""
SMTP_DATA_LINE_OCTETS: Final = 1_000_000
"""Text lines: RFC 5321 4.5.3.1.6 asks for 1000; longer ones exist and are carried unchanged."""
SMTP_RECIPIENTS: Final = 1000
"""RFC 5321 4.5.3.1.8 asks for 100."""
SMTP_PATH_OCTETS: Final = 256
"""RFC 5321 4.5.3.1.3, angle brackets included."""
SMTP_LOCAL_PART_OCTETS: Final = 64
"""RFC 5321 4.5.3.1.1."""
SMTP_DOMAIN_OCTETS: Final = 255
"""RFC 5321 4.5.3.1.2."""
SMTP_LABEL_OCTETS: Final = 63
"""Of a domain's label (RFC 1035 2.3.4), measured before one beyond ASCII is encoded."""
SMTP_CHUNKS: Final = 102_400
"""BDAT commands for one letter: 50 MiB in chunks of 512 octets; each costs a command and a reply."""
SMTP_SMALL_PIECE_OCTETS: Final = 4096
"""Smaller pieces of a letter (of BDAT, or of a client that sends octet by octet) are joined before they are kept:
each kept by itself would cost many times its size."""
SMTP_JOINED_OCTETS: Final = 16_384
"""So many are joined at most."""
SMTP_EXPN_MEMBERS: Final = 500
"""That EXPN shows of a list; how many more there are is told."""
SMTP_VRFY_DOMAINS: Final = 20
"""In which a name without a domain is looked for by VRFY and EXPN: the site's first ones."""
SMTP_REPLY_LINE_OCTETS: Final = 2048
"""RFC 5321 4.5.3.1.5 says 512, and some servers write poems."""
SMTP_UNKNOWN_RECIPIENTS: Final = 100
"""In one session: who guesses on is closed, a list with a few dead addresses isn't."""
SMTP_DATA_RATE_SECONDS: Final = 120.0
"""From here on DATA must have come at the least rate."""
ALIAS_NAMES: Final = 1000
"""Names that one alias may lead to, whatever the way."""
INBOXES_KNOWN: Final = 10_000
"""Accounts whose INBOX one worker remembers."""
RECEIVED_HOPS: Final = 50
"""RFC 5321 6.3: a letter with more Received fields goes round in circles."""
SMTP_DATA_MIN_RATE: Final = 100
"""Octets a second, over the whole of DATA after its first two minutes."""

# --- letters shown on terminals (SEND, SOML, SAML)
TERMINAL_CHARACTERS: Final = 16_384
"""Of a letter's text that `postroom listen` shows: two hundred lines; a letter of more is for a mailbox."""
TERMINAL_FIELD_CHARACTERS: Final = 320
"""Of From, To, Date, Subject and the first line that are shown: an address of SMTP_PATH_OCTETS and a name."""
TERMINAL_PARTS: Final = 100
"""Of a letter, among which its text is looked for."""
TERMINAL_WAITING: Final = 20
"""Letters that wait to be shown in one session; of more the oldest are dropped."""
TERMINAL_LISTENERS: Final = 100
"""`postroom listen` that one worker has at a time: each may hold TERMINAL_WAITING letters in memory."""
TERMINAL_SHOW_SECONDS: Final = 2.0
"""A session that has not shown a letter within this (it does something long, or its client is gone) doesn't."""
TERMINAL_WORKER_SECONDS: Final = 3.0
"""SMTP waits so long for the other workers' word, all of them together; one that gave none is not asked again
before it answers, so that a hanging worker holds SMTP up once, not at each recipient."""
ALERT_CHARACTERS: Final = 300
"""Of an IMAP ALERT: clients show it in a small window, some cut at one line."""

# --- checks and filters
CHECK_KEYS_KEPT: Final = 500_000
"""Senders, and triplets of the greylist, that checks remember, about 100 octets each; those that matter for the
shortest time go first."""
CHECK_TRIES: Final = 5
"""For what checks remember, while another worker writes there; then the caller passes."""
CHECK_TRY_SECONDS: Final = 0.002
"""Between two tries."""
GREYLIST_RETRY_SECONDS: Final = 2 * 86_400
"""An honest sender has come again by then (RFC 5321 4.5.4.1); one that hasn't begins anew."""
BLOCKLIST_SECONDS: Final = 5.0
"""For the answers of all DNS blocklists about one client; then it passes."""
BLOCKLIST_ANSWERS_KEPT: Final = 10_000
"""Answers of the DNS that one worker remembers, each as long as it is good for."""
BLOCKLIST_REASON_CHARACTERS: Final = 200
"""Of what a DNS blocklist says about a client, in the reply to it."""
MILTER_PACKET_OCTETS: Final = 1_048_576
"""One answer of a filter; libmilter's are of 64 KiB at most, and the protocol's largest option is 1 MiB."""
MILTER_CHUNK_OCTETS: Final = 65_535
"""Of a body, sent to a filter at a time: what each version of libmilter takes."""
MILTER_CHANGES: Final = 1000
"""Changes of one letter by one filter, pieces of a new body not counted."""
MILTER_LETTER_SECONDS: Final = 480.0
"""For one letter in one filter, however often it says that it goes on: clients wait ten minutes for the reply to
a letter (RFC 5321 4.5.3.2.6)."""
MILTER_REST_SECONDS: Final = 10.0
"""A filter that failed is left alone so long."""
MILTER_REPLY_CHARACTERS: Final = 400
"""Of a filter's own reply, in ours."""

# --- POP3
POP3_COMMAND_OCTETS: Final = 255
"""RFC 2449 4, raised to SASL's size for an AUTH answer."""
POP3_AUTH_LINE_OCTETS: Final = 12_288
"""AUTH with its initial response, and each answer of an exchange: RFC 5034 4 has 255, and tokens are longer."""
POP3_LOCK_SECONDS: Final = 0.1
"""A login waits so long for a maildrop in use: the session of a connection that was cut ends at about the time at
which its client comes back."""
POP3_LOCK_TRY_SECONDS: Final = 0.02
"""Between two looks at it."""
POP3_MAILBOXES_KNOWN: Final = 10_000
"""Maildrops of which one worker remembers how far they have been searched for letters with binary parts."""
POP3_SIZES_KNOWN: Final = 100_000
"""Sizes of such letters that it remembers, about 100 octets each."""

# --- IMAP
IMAP_COMMAND_OCTETS: Final = 65_536
"""RFC 7162 4 asks for 8192 and clients send UID sets of more; literals in memory included."""
IMAP_COMMAND_OCTETS_BEFORE_LOGIN: Final = 16_384
"""The same for strangers: room for a login by SASL, and no more."""
IMAP_APPEND_BEFORE_LOGIN: Final = 0
"""Octets of a letter that a stranger may send: none."""
IMAP_ENTRIES_PER_READ: Final = 2000
"""Letters that SELECT asks the store for at a time, between which the other sessions have their turn."""
IMAP_CHANGES_AT_SELECT: Final = 2000
"""Letters that changed since the mailbox was last selected, for more of them all of it is read anew, in slices."""
IMAP_VIEWS_OCTETS: Final = 68_000_000
"""What a worker keeps of mailboxes for their next SELECT: at 17 octets a letter, four million letters."""
IMAP_VIEWS_LETTERS: Final = 1000
"""A mailbox of fewer letters is read anew in a millisecond, and isn't kept."""
IMAP_DISCARD_OCTETS: Final = 64 * 1024 * 1024
"""Of a refused letter that comes without being asked for (LITERAL+): so much is read and dropped, for more the
session ends (RFC 7888 4)."""
IMAP_NESTING: Final = 30
"""Parentheses in one command, SEARCH keys included."""
IMAP_ELEMENTS: Final = 10_000
"""Members of one list, keys of one SEARCH, ranges of one set."""
IMAP_MAILBOX_NAME_OCTETS: Final = 1000
"""Of a name with all its levels, as it is kept: each LIST shows all names."""
IMAP_MAILBOX_LEVELS: Final = 50
"""Of one name: a pattern is held against each."""
IMAP_KEYWORD_OCTETS: Final = 255
"""Of one keyword: FLAGS shows it each time the mailbox is selected."""
IMAP_KEYWORDS: Final = 100
"""On one letter."""
IMAP_KEYWORDS_LISTED: Final = 1000
"""In one FLAGS response: a mailbox may hold more, and its letters still show theirs."""
IMAP_KEYWORD_SETS_UNUSED: Final = 1000
"""Sets of keywords that a session still knows after the last letter lost them."""
IMAP_TAG_OCTETS: Final = 255
"""A tag is repeated in each answer."""
IMAP_BASE64_OCTETS: Final = 12_288
"""One step of SASL, encoded (RFC 4954 4 asks for as much)."""
IMAP_LIST_PATTERNS: Final = 100
"""RFC 5258 3: in one LIST; each is held against every name."""
IMAP_ID_FIELDS: Final = 30
"""RFC 2971 3.3, as the next two."""
IMAP_ID_FIELD_OCTETS: Final = 30
"""Of one field's name."""
IMAP_ID_VALUE_OCTETS: Final = 1024
"""Of one field's value."""
IMAP_FETCH_OCTETS: Final = 256 * 1024
"""Of letters, read ahead of what the client has taken."""
IMAP_LETTERS_PER_CHANGE: Final = 1000
"""In one commit of a STORE, or of FETCH's \\Seen: others have their turn between two."""

# --- letters
MIME_DEPTH: Final = 50
"""Parts within parts; one that lies deeper is a leaf, whatever it says."""
MIME_PARTS: Final = 10_000
"""Of one letter; when they are spent, what is left is a leaf."""
HEADER_FIELDS: Final = 10_000
"""Of one header that are looked at; the rest is carried."""
HEADER_OCTETS: Final = 1_048_576
"""Beyond this the rest of a header is carried but not looked at."""
ADDRESSES: Final = 10_000
"""In one ENVELOPE."""
ADDRESS_TOKENS: Final = 100_000
"""Words, specials and comments looked at in one address list; the rest of it is left out."""
MIME_PARAMETERS: Final = 100
"""Of one Content-Type or Content-Disposition; also the tags of one Content-Language."""
MIME_BOUNDARY_OCTETS: Final = 256
"""RFC 2046 5.1.1 allows 70; a longer one than this ends no part."""
BOUNDARY_LINES: Final = 100_000
"""Lines of one letter that begin as a boundary does: a flood of lookalikes is not looked at for ever."""
LETTER_HEADERS_OCTETS: Final = 8 * 1_048_576
"""All headers of one letter together, those of its parts included; later parts are leaves."""
LETTER_SCANS: Final = 8
"""How often a letter's octets are searched, on average: each level of nesting searches its own once more."""
LETTER_SCAN_OCTETS: Final = 64 * 1_048_576
"""Added to that, so that the rule touches no letter of ordinary size."""
REFERENCES: Final = 1000
"""Message-IDs of one References field; the nearest ones are kept."""
SORT_KEY_CHARACTERS: Final = 1000
"""Of a base subject or a mailbox name; letters that differ only behind them sort as equals."""
SEARCH_TEXT_CHARACTERS: Final = 4 * 1_048_576
"""Of one letter's text that SEARCH looks at and the indexer keeps."""
HTML_CHARACTERS: Final = 4 * 1_048_576
"""Of one part's HTML, tags included: what a part has beyond them is not looked at."""

# --- logins
LOGIN_OCTETS: Final = 255
"""Of an account's name, as an address has (RFC 5321 4.5.3.1)."""
PASSWORD_OCTETS: Final = 1024
"""Of a password: hashing takes time for each octet."""
LOGINS_PER_SESSION: Final = 5
"""Failed ones; then the session is closed."""
LOGIN_DELAY_SECONDS: Final = 0.25
"""After one failure of a network or pair; doubled by each further one."""
LOGIN_DELAY_SECONDS_MOST: Final = 4.0
"""With the time of a full queue (LOGINS_WAITING) it stays under AUTHORITY_SECONDS."""
LOGIN_BLOCK_SECONDS: Final = 900.0
"""A network's failures are remembered, and block it, so long after the last."""
LOGIN_PAIR_BLOCK_SECONDS: Final = 3600.0
"""The same of one account tried from one network: slow guessing is caught too."""
LOGIN_COUNTS_KEPT: Final = 20_000
"""Networks, pairs and accounts counted at a time, each; the one that failed longest ago is forgotten first."""
LOGINS_WAITING: Final = 400
"""In the authority: five seconds' work at 25 ms each in two threads; one more is told to come again."""
AUTHORITY_SECONDS: Final = 10.0
"""A worker waits so long for the authority's word."""
AUTHORITY_RETRY_SECONDS: Final = 0.1
"""Between two tries to reach an authority that is being started anew."""
SCRAM_ITERATIONS_LEAST: Final = 4096
"""RFC 7677 4: a configuration can't ask for less."""
SCRAM_ITERATIONS_MOST: Final = 10_000_000
"""Beyond it no client would wait, and a change of password would hold a thread for seconds."""
SCRAM_MESSAGE_OCTETS: Final = 2048
"""One message of a client: two names, each octet of which may be written as three, a nonce, a proof."""
SCRAM_NONCE_OCTETS: Final = 256
"""A client's part; usual are 16 to 32."""
SCRAM_EXCHANGES: Final = 5000
"""Begun and not ended, kept in the authority at a time: a few megabytes; the oldest is forgotten first."""
SCRAM_EXCHANGES_PER_NETWORK: Final = 100
"""Of them, of one network, so that a flood forgets its own first: twice what an address may have in connections."""
SCRAM_EXCHANGE_SECONDS: Final = 60.0
"""From server-first to client-final; a session without a login waits no longer for a line."""
SCRAM_OFFER_SECONDS: Final = 5.0
"""Between two looks whether all accounts have SCRAM keys, so that it is offered."""
APP_PASSWORDS: Final = 20
"""Of one account: a few machines with a few programs each; all are compared at each login."""
APP_PASSWORD_NAME_CHARACTERS: Final = 64
"""Of the name that a person gives an app password."""
TOKEN_OCTETS: Final = 8192
"""An OAuth token: what fits a SASL line of 12,288 octets in base64, with its frame."""
INTROSPECTION_SECONDS: Final = 5.0
"""For the verifier's whole answer; well under AUTHORITY_SECONDS."""
INTROSPECTION_OCTETS: Final = 64 * 1024
"""Of the verifier's answer (RFC 7662 2.2: a small object)."""
INTROSPECTION_THREADS: Final = 8
"""Tokens asked about at the same time; more wait their turn, within INTROSPECTION_SECONDS."""
TOKENS_KEPT: Final = 1000
"""Whose verification is remembered; the oldest is forgotten first."""
TOKEN_KEPT_SECONDS: Final = 60.0
"""A token that its issuer revokes logs in so long at most."""
CERTIFICATE_NAMES: Final = 16
"""E-mail addresses of a client's certificate that are looked at (SASL EXTERNAL)."""
HASH_OCTETS: Final = 512
"""Of a ready hash, more than any known form has."""
SHA_CRYPT_ROUNDS: Final = 1_000_000
"""A ready hash that asks for more would stop the authority for seconds at each login."""
BCRYPT_COST: Final = 14
"""The same of bcrypt: each step doubles the time."""
ARGON2_MEMORY_KIB: Final = 262_144
"""The same of argon2: a login may take so much memory, in each thread."""
ARGON2_PASSES: Final = 16
"""The same, times that the memory is gone through."""
ARGON2_LANES: Final = 16
"""The same, lanes that are worked at together."""

# --- store
BATCH_CHANGES: Final = 100
"""Changes in one group commit; the rest waits for the next turn."""
BATCH_OCTETS: Final = 8 * 1024 * 1024
"""Octets of letters in one group commit (one letter may pass it)."""
BLOB_IN_MEMORY: Final = 256 * 1024
"""A letter that grows past this goes into a segment of its own."""
SEGMENT_OCTETS: Final = 64 * 1024 * 1024
"""A segment that has reached this takes no further record."""
SEGMENT_AHEAD_OCTETS: Final = 256 * 1024
"""Zeros written ahead of small batches: a sync then moves no end of file, which costs half of it."""
SEGMENT_AHEAD_BATCH: Final = 64 * 1024
"""A batch of more octets is worth its sync, and writes none ahead."""
OPEN_SEGMENTS: Final = 64
"""Descriptors of segments kept open for reading, in one process."""
RECORD_FACTS_OCTETS: Final = 64 * 1024 * 1024
"""Footer of one record: a thousand recipients with a prefix of 4 KiB each, escaped."""
WRITE_LOCK_SECONDS: Final = 10.0
"""Wait for other processes' commits; then the change fails for now."""
KEEPER_WAIT_SECONDS: Final = 10.0
"""A writer waits so long for a keeper that isn't there, and a keeper for its predecessor's end."""
KEEPER_BATCHES: Final = 8
"""Batches of one writer that the keeper has at a time; measured: the disk is busy with fewer."""
KEEPER_OCTETS: Final = 16 * 1024 * 1024
"""Of one writer's batches at the keeper (one batch may pass it); more wait at the writer."""
KEEPER_CHANGE_OCTETS: Final = 64 * 1024 * 1024
"""One change on its way to the keeper: a flag for three million UIDs, a letter's thousand prefixes."""
KEPT_REPLIES_SECONDS: Final = 3600
"""Replies that a writer may not have heard are kept so long after it has gone; whoever waits has given up then."""
LETTERS_PER_READ: Final = 500
"""Asked of the index at a time: one query's answer in memory."""
THREAD_REFERENCES: Final = 100
"""Message-ID hashes of one letter's References that take part in threading: the newest."""
MAILBOXES_PER_ACCOUNT: Final = 10_000
"""LIST goes through all of them."""
SUBSCRIPTIONS_PER_ACCOUNT: Final = 10_000
"""LSUB goes through all of them; names that aren't there may be subscribed to."""
ALIAS_TARGETS: Final = 1000
"""Written into one alias."""
ACCOUNT_OCTETS: Final = 255
"""Of an account's address (RFC 5321 4.5.3.1)."""
STORY_CHARACTERS: Final = 4000
"""Of what is known to have happened to one letter: its arrival and the latest."""
STORY_LINE_CHARACTERS: Final = 400
"""Of one thing that happened."""
STORIES_PER_LOOK: Final = 5000
"""Letters gone through at a time where one is sought by its story."""
BURIED_PER_LOOK: Final = 200
"""Expunged letters looked at, and brought back, at a time."""
BURIED_HEADER_OCTETS: Final = 65_536
"""Of an expunged letter's header, in which From and Subject are looked for."""
SEARCH_CLUES: Final = 16
"""Words of one SEARCH that the search index is asked for; the others are looked for without it."""
SEARCH_TRIGRAMS: Final = 32
"""Of one word that the search index is asked for: so many of a letter's are hardly there by chance."""
SEARCH_CANDIDATES: Final = 200_000
"""Letters of one mailbox, four octets each, that the search index names for one word; for one that is found oftener
it is no short cut."""
SEARCH_FILES_OPEN: Final = 8
"""Accounts whose search index a process keeps open, those that were asked last."""
INDEXER_LETTERS: Final = 200
"""Filed in the search index at a time."""
INDEXER_CHARACTERS: Final = 1_048_576
"""The same (one letter may pass it)."""
INDEXER_WAIT_SECONDS: Final = 0.2
"""Between a change and the indexer's look: what comes in a rush is filed together."""
INDEXER_SHARE: Final = 0.5
"""Of the time in which it has much to do the indexer works; the rest is others'."""
SWEEP_ROWS: Final = 100
"""Tombstones or letters forgotten in one transaction: others wait for its lock."""
EXPUNGE_ROWS: Final = 500
"""Letters that emptying Trash by age takes in one transaction."""
SWEEP_LEAST_SECONDS: Final = 3600
"""A tombstone stays so long whatever `undelete` says: sessions may still count its letter."""
COMPACTION_OCTETS: Final = 1024 * 1024
"""Of letters copied, synced and moved in one step."""
COMPACTION_LETTERS: Final = 200
"""The same, counted."""
COMPACTION_OLD_DEAD_PERCENT: Final = 5
"""Of a segment that is older than `compaction.age`: then so little is worth it."""
UNLINK_GRACE_SECONDS: Final = 300
"""Between the last letter's move out of a segment and the end of its file: who has read a place finds it."""
STRAY_GRACE_SECONDS: Final = 3600
"""Octets that no row knows, and nobody writes any more, stay so long at least."""
REFUSALS_WAITING: Final = 500
"""Refused letters and recipients noted in one second; of more only the number is kept."""
REFUSALS_SECONDS: Final = 1.0
"""So often they are committed, many at a time: strangers must not make the disk work."""
AUTHORS: Final = 20
"""Addresses in the From field of a letter that one of our accounts sends."""
REFUSALS_KEPT: Final = 10_000
"""Refused letters and recipients of which a record is kept; the oldest go."""
REFUSAL_CHARACTERS: Final = 320
"""Of each field of such a record."""
BACKUP_CHUNK_OCTETS: Final = 1024 * 1024
"""Copied at a time by backup and restore."""
BACKUP_REST_SHARE: Final = 4.0
"""Beside a running server a backup rests so many times as long as it works, after each piece of its work"""
BACKUP_WORK_SECONDS: Final = 0.001
"""of at least so long."""
BACKUP_SYNC_OCTETS: Final = 1024 * 1024
"""A copy is synced whenever so much of it was written: a server's own syncs on the same disk wait for no more."""
BACKUPS_KEPT: Final = 7
"""Snapshots in a backup's directory, where --keep says nothing else."""
BACKUP_FINDINGS: Final = 20
"""Damaged letters that a backup tells one by one."""
UPGRADE_SNAPSHOTS_KEPT: Final = 3
"""Snapshots of earlier schemas under data/snapshots; older ones go with the next upgrade."""
RESTORE_LETTERS: Final = 50
"""Letters out of a backup that are filed at the same time."""
RESTORE_UID_VALIDITIES: Final = 1024 * 1024
"""A restore leaves out so many: those that the lost index may have given away after its backup."""
HINTS_PER_DATAGRAM: Final = 200
"""Mailboxes that one word between our processes tells of; more are told in the next."""
HINTS_LOOK_SECONDS: Final = 30.0
"""Watchers look for themselves so often, whatever the hints said."""
