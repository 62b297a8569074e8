"""The tables, as named migrations; each runs in one transaction and is never edited after release."""

from sqlite_utils import Database, Migrations

migrations = Migrations("patchbay")

_FOUNDATION = """
CREATE TABLE setting (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE probe (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, filler BLOB NOT NULL DEFAULT x'') STRICT;
CREATE TABLE organisation (id TEXT PRIMARY KEY, name TEXT NOT NULL, created_at INTEGER NOT NULL) STRICT;
CREATE TABLE user (
  id TEXT PRIMARY KEY, org_id TEXT NOT NULL REFERENCES organisation(id),
  username TEXT NOT NULL COLLATE NOCASE UNIQUE, name TEXT NOT NULL, emails TEXT NOT NULL,
  role TEXT NOT NULL, is_bot INTEGER NOT NULL, type TEXT NOT NULL, granted TEXT NOT NULL, denied TEXT NOT NULL,
  active INTEGER NOT NULL, created_at INTEGER NOT NULL, password_hash TEXT, version INTEGER NOT NULL) STRICT;
CREATE TABLE user_email (email TEXT PRIMARY KEY COLLATE NOCASE, user_id TEXT NOT NULL REFERENCES user(id)) STRICT;
CREATE TABLE token (
  hash BLOB PRIMARY KEY, user_id TEXT NOT NULL REFERENCES user(id), kind TEXT NOT NULL, name TEXT,
  last_part TEXT NOT NULL, created_at INTEGER NOT NULL, last_used_at INTEGER, expires_at INTEGER) STRICT;
CREATE INDEX token_by_user ON token(user_id);
CREATE UNIQUE INDEX token_name ON token(user_id, name) WHERE kind = 'personal';
CREATE TABLE room (
  id TEXT PRIMARY KEY, org_id TEXT NOT NULL REFERENCES organisation(id), kind TEXT NOT NULL,
  name TEXT COLLATE NOCASE UNIQUE, owner_id TEXT, topic TEXT NOT NULL, description TEXT NOT NULL,
  read_only INTEGER NOT NULL, archived INTEGER NOT NULL, direct_users TEXT NOT NULL,
  created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, version INTEGER NOT NULL,
  messages INTEGER NOT NULL DEFAULT 0, last_message_at INTEGER,
  keep_ms INTEGER, keep_last INTEGER, removed INTEGER NOT NULL DEFAULT 0, removed_until INTEGER) STRICT;
CREATE INDEX room_keeping ON room(id) WHERE keep_ms IS NOT NULL OR keep_last IS NOT NULL;
CREATE INDEX room_by_name ON room(org_id, kind, name, id);
CREATE TABLE member (
  room_id TEXT NOT NULL REFERENCES room(id), user_id TEXT NOT NULL REFERENCES user(id),
  joined_at INTEGER NOT NULL, is_owner INTEGER NOT NULL, PRIMARY KEY (room_id, user_id)) STRICT, WITHOUT ROWID;
CREATE INDEX member_by_user ON member(user_id);
CREATE TABLE message (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, org_id TEXT NOT NULL, room_id TEXT NOT NULL REFERENCES room(id),
  at INTEGER NOT NULL, user_id TEXT NOT NULL REFERENCES user(id), thread_id TEXT, text TEXT NOT NULL,
  body ANY NOT NULL, updated_at INTEGER NOT NULL, version INTEGER NOT NULL, event_seq INTEGER) STRICT;
CREATE INDEX message_by_room ON message(room_id, at, seq);
CREATE INDEX message_by_thread ON message(thread_id) WHERE thread_id IS NOT NULL;
CREATE TABLE event (
  seq INTEGER PRIMARY KEY, org_id TEXT NOT NULL, kind TEXT NOT NULL, at INTEGER NOT NULL, room_id TEXT,
  user_id TEXT, body ANY NOT NULL) STRICT;
CREATE TABLE integration (
  id TEXT PRIMARY KEY, org_id TEXT NOT NULL REFERENCES organisation(id), direction TEXT NOT NULL, name TEXT NOT NULL,
  folded TEXT NOT NULL, enabled INTEGER NOT NULL, user_id TEXT NOT NULL, created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, expires_at INTEGER, muted_until INTEGER,
  version INTEGER NOT NULL, body TEXT NOT NULL, sealed BLOB NOT NULL) STRICT;
CREATE INDEX integration_by_user ON integration(user_id);
CREATE INDEX integration_by_creator ON integration(created_by);
CREATE INDEX integration_listed ON integration(
  org_id, folded, id, direction, name, enabled, user_id, created_by, created_at, updated_at, expires_at, muted_until);
CREATE INDEX integration_by_age ON integration(org_id, created_at, id);
CREATE INDEX integration_by_maker ON integration(org_id, created_by, created_at, id);
CREATE TABLE integration_channel (
  channel TEXT NOT NULL, is_target INTEGER NOT NULL,
  integration_id TEXT NOT NULL REFERENCES integration(id) ON DELETE CASCADE,
  PRIMARY KEY (channel, is_target, integration_id)) STRICT, WITHOUT ROWID;
CREATE INDEX integration_channel_by_integration ON integration_channel(integration_id);
CREATE TABLE integration_version (
  integration_id TEXT NOT NULL REFERENCES integration(id) ON DELETE CASCADE, version INTEGER NOT NULL,
  sealed BLOB NOT NULL, PRIMARY KEY (integration_id, version)) STRICT;
CREATE TABLE integration_scope (
  event TEXT NOT NULL, scope TEXT NOT NULL, integration_id TEXT NOT NULL REFERENCES integration(id) ON DELETE CASCADE,
  PRIMARY KEY (event, scope, integration_id)) STRICT, WITHOUT ROWID;
CREATE INDEX integration_scope_by_integration ON integration_scope(integration_id);
CREATE TABLE integration_url (
  url_hash BLOB NOT NULL, integration_id TEXT NOT NULL REFERENCES integration(id) ON DELETE CASCADE,
  PRIMARY KEY (url_hash, integration_id)) STRICT, WITHOUT ROWID;
CREATE INDEX integration_url_by_integration ON integration_url(integration_id);
CREATE TABLE previous_call (
  integration_id TEXT NOT NULL REFERENCES integration(id) ON DELETE CASCADE, hash BLOB NOT NULL,
  calls INTEGER NOT NULL, last_at INTEGER NOT NULL, PRIMARY KEY (integration_id, hash)) STRICT, WITHOUT ROWID;
CREATE TABLE hook_request (
  id TEXT PRIMARY KEY, integration_id TEXT NOT NULL REFERENCES integration(id) ON DELETE CASCADE, slot INTEGER NOT NULL,
  number INTEGER NOT NULL, at INTEGER NOT NULL, method TEXT NOT NULL, verdict TEXT NOT NULL, status INTEGER NOT NULL,
  error TEXT, message_ids TEXT NOT NULL, body_differed INTEGER NOT NULL, duration_us INTEGER NOT NULL,
  signature TEXT, previous_token INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT;
CREATE UNIQUE INDEX hook_request_slot ON hook_request(integration_id, slot);
CREATE TABLE dedup (
  seq INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, body_hash BLOB NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE TABLE stored_bytes (
  payer TEXT PRIMARY KEY, day INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE lane (
  id INTEGER PRIMARY KEY AUTOINCREMENT, integration_id TEXT NOT NULL, url_hash BLOB NOT NULL, creator TEXT NOT NULL,
  ordered INTEGER NOT NULL, held INTEGER NOT NULL DEFAULT 0, held_at INTEGER, next_at INTEGER NOT NULL,
  not_before INTEGER NOT NULL DEFAULT 0, silent INTEGER NOT NULL DEFAULT 0,
  UNIQUE (integration_id, url_hash)) STRICT;
CREATE INDEX lane_due ON lane(creator, silent, next_at) WHERE held = 0 AND next_at < 4611686018427387904;
CREATE TABLE delivery (
  id INTEGER PRIMARY KEY, lane_id INTEGER NOT NULL, integration_id TEXT NOT NULL, event_seq INTEGER NOT NULL,
  state TEXT NOT NULL, trigger_word TEXT, tries INTEGER NOT NULL, receives INTEGER NOT NULL,
  available_at INTEGER NOT NULL, lease INTEGER, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
  reason TEXT, webhook_id TEXT NOT NULL) STRICT;
CREATE INDEX delivery_due ON delivery(lane_id, available_at, id) WHERE state = 'queued';
CREATE INDEX delivery_leased ON delivery(lease) WHERE lease IS NOT NULL;
CREATE INDEX delivery_dead ON delivery(integration_id, id) WHERE state = 'dead';
CREATE INDEX delivery_by_event ON delivery(event_seq);
CREATE INDEX delivery_by_integration ON delivery(integration_id, id);
CREATE TABLE attempt (
  id TEXT PRIMARY KEY, integration_id TEXT NOT NULL, version INTEGER NOT NULL, event_seq INTEGER NOT NULL,
  delivery_id INTEGER, url_hash BLOB, trigger_word TEXT, step TEXT NOT NULL, finished INTEGER NOT NULL,
  failed INTEGER NOT NULL, started_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, duration_ms INTEGER NOT NULL,
  status INTEGER, message_id TEXT, called INTEGER NOT NULL, sealed BLOB) STRICT;
CREATE INDEX attempt_by_integration ON attempt(integration_id, updated_at);
CREATE INDEX attempt_by_delivery ON attempt(delivery_id) WHERE delivery_id IS NOT NULL;
CREATE INDEX attempt_without_delivery ON attempt(event_seq) WHERE delivery_id IS NULL;
CREATE INDEX attempt_by_message ON attempt(message_id) WHERE message_id IS NOT NULL;
CREATE TABLE outage (
  lane_id INTEGER PRIMARY KEY REFERENCES lane(id) ON DELETE CASCADE, steps INTEGER NOT NULL, since INTEGER,
  failed INTEGER NOT NULL, last_failed_at INTEGER NOT NULL, delivered INTEGER NOT NULL, told_at INTEGER,
  is_told INTEGER NOT NULL) STRICT;
CREATE TABLE removed (integration_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE upload (
  id TEXT PRIMARY KEY, org_id TEXT NOT NULL, room_id TEXT NOT NULL, user_id TEXT NOT NULL, name TEXT NOT NULL,
  size INTEGER NOT NULL, type TEXT NOT NULL, confirmed INTEGER NOT NULL, created_at INTEGER NOT NULL,
  version INTEGER NOT NULL) STRICT;
CREATE INDEX upload_by_user ON upload(user_id);
CREATE TABLE pending (
  seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, key_hash BLOB NOT NULL, user_id TEXT, place TEXT NOT NULL,
  sealed BLOB NOT NULL, expires_at INTEGER NOT NULL, tries INTEGER NOT NULL, ended TEXT,
  UNIQUE (kind, key_hash)) STRICT;
CREATE INDEX pending_of ON pending(user_id, kind, place) WHERE ended IS NULL;
CREATE INDEX pending_expiry ON pending(expires_at);
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, org_id TEXT NOT NULL REFERENCES organisation(id),
  at INTEGER NOT NULL, actor_id TEXT, actor_name TEXT NOT NULL, door TEXT NOT NULL, place TEXT NOT NULL,
  command TEXT NOT NULL, line TEXT NOT NULL, object_kind TEXT, object_id TEXT, object_name TEXT,
  outcome TEXT NOT NULL) STRICT;
CREATE INDEX audit_by_time ON audit(org_id, at);
CREATE INDEX audit_by_actor ON audit(org_id, actor_id, at);
CREATE INDEX audit_by_object ON audit(org_id, object_id);
CREATE INDEX audit_by_object_name ON audit(org_id, object_name COLLATE NOCASE);
CREATE TABLE workspace (
  id TEXT PRIMARY KEY, org_id TEXT NOT NULL REFERENCES organisation(id), kind TEXT NOT NULL,
  name TEXT NOT NULL COLLATE NOCASE, team_id TEXT NOT NULL, unlinked_viewer INTEGER NOT NULL,
  created_at INTEGER NOT NULL, version INTEGER NOT NULL, sealed BLOB NOT NULL,
  UNIQUE (org_id, name), UNIQUE (org_id, kind, team_id)) STRICT;
CREATE TABLE account_link (
  workspace_id TEXT NOT NULL REFERENCES workspace(id) ON DELETE CASCADE, external_id TEXT NOT NULL,
  external_name TEXT NOT NULL, user_id TEXT NOT NULL REFERENCES user(id), linked_at INTEGER NOT NULL,
  PRIMARY KEY (workspace_id, external_id)) STRICT, WITHOUT ROWID;
CREATE INDEX account_link_by_user ON account_link(user_id);
"""


@migrations()
def foundation(db: Database) -> None:
    """Make the first tables: workspace, integrations, queue and history."""
    for statement in _FOUNDATION.split(";\n"):
        if statement.strip():
            db.execute(statement)
