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
ACCEPTS_PER_TURN: Final = 64
OUTPUT_HIGH_WATER: Final = 256 * 1024
"""A session that answers more than this waits for its peer to read."""
INPUT_HIGH_WATER: Final = 256 * 1024
"""Reading pauses while so much lies unread."""
LINES_PER_TURN: Final = 256
"""Pipelined commands that one session may have answered before the others get their turn."""
SLICE_SECONDS: Final = 0.001
"""Who has much to do (a FETCH or SEARCH of a whole mailbox, a large maildrop) gives way to the others so often,"""
SLICE_OCTETS: Final = 256 * 1024
"""or after so many octets of letters; and while others speak"""
SLICE_SECONDS_CROWDED: Final = 0.000_25
"""so often"""
SLICE_OCTETS_CROWDED: Final = 64 * 1024
"""or after so many."""
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
READ_OCTETS_BEFORE_LOGIN: Final = 4096
"""Taken from the kernel at a time."""
READ_OCTETS: Final = 64 * 1024
BAD_COMMANDS: Final = 20
"""Errors in one session before it is closed."""

# --- the tap and the talk between our own processes
ROW_OCTETS: Final = 1000
"""Kept of one line or reply."""
CONVERSATION_ROWS: Final = 400
CONVERSATION_OCTETS: Final = 40_000
"""Kept of one session."""
CONVERSATION_OCTETS_BEFORE_LOGIN: Final = 8_000
"""The same where a login is required and hasn't been: a connection may cost 64 kB in all."""
RECENT_CONVERSATIONS: Final = 200
TAP_OCTETS: Final = 64 * 1024 * 1024
"""Kept of all sessions of one process."""
FOLLOWER_ROWS: Final = 1000
"""Waiting for one follower; further ones are dropped."""
IPC_LINE_OCTETS: Final = 1024 * 1024
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
SMTP_LOCAL_PART_OCTETS: Final = 64
SMTP_DOMAIN_OCTETS: Final = 255
"""RFC 5321 4.5.3.1.2."""
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

# --- POP3
POP3_COMMAND_OCTETS: Final = 255
"""RFC 2449 4, raised to SASL's size for an AUTH answer."""
POP3_AUTH_LINE_OCTETS: Final = 12_288

# --- IMAP
IMAP_COMMAND_OCTETS: Final = 65_536
"""RFC 7162 4 asks for 8192 and clients send UID sets of more; literals in memory included."""
IMAP_COMMAND_OCTETS_BEFORE_LOGIN: Final = 16_384
IMAP_APPEND_BEFORE_LOGIN: Final = 0
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
IMAP_MAILBOX_LEVELS: Final = 50
IMAP_KEYWORD_OCTETS: Final = 255
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
IMAP_ID_VALUE_OCTETS: Final = 1024
IMAP_FETCH_OCTETS: Final = 256 * 1024
"""Of letters, read ahead of what the client has taken."""
IMAP_LETTERS_PER_CHANGE: Final = 1000
"""In one commit of a STORE, or of FETCH's \\Seen: others have their turn between two."""

# --- letters
MIME_DEPTH: Final = 50
MIME_PARTS: Final = 10_000
HEADER_FIELDS: Final = 10_000
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
PASSWORD_OCTETS: Final = 1024
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
HASH_OCTETS: Final = 512
SHA_CRYPT_ROUNDS: Final = 1_000_000
"""A ready hash that asks for more would stop the authority for seconds at each login."""
BCRYPT_COST: Final = 14
ARGON2_MEMORY_KIB: Final = 262_144
ARGON2_PASSES: Final = 16
ARGON2_LANES: Final = 16

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
THREAD_REFERENCES: Final = 100
"""Message-ID hashes of one letter's References that take part in threading: the newest."""
MAILBOXES_PER_ACCOUNT: Final = 10_000
SUBSCRIPTIONS_PER_ACCOUNT: Final = 10_000
ALIAS_TARGETS: Final = 1000
ACCOUNT_OCTETS: Final = 255
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
HINTS_LOOK_SECONDS: Final = 30.0
"""Watchers look for themselves so often, whatever the hints said."""
