-- Audited rows: what a replay of the topics must give again, row for row.

CREATE TABLE sequences (
  name    VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'users or groups',
  last_id BIGINT NOT NULL COMMENT 'the highest id that was given out',
  PRIMARY KEY (name)
) ENGINE = InnoDB COMMENT = 'Ids come from here, in the transaction that uses them, so that there are no gaps';

INSERT INTO sequences (name, last_id) VALUES ('groups', 0), ('users', 0);

CREATE TABLE users (
  id         BIGINT NOT NULL,
  name       VARCHAR(64) NOT NULL,
  verifier   VARCHAR(160) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'argon2id in PHC form',
  created_at BIGINT NOT NULL COMMENT 'Unix milliseconds, from the record, as all times here',
  PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE friends (
  user_id    BIGINT NOT NULL,
  friend_id  BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (user_id, friend_id)
) ENGINE = InnoDB COMMENT = 'Two rows for each friendship';

CREATE TABLE `groups` (
  id          BIGINT NOT NULL,
  name        VARCHAR(64) NOT NULL,
  description VARCHAR(1024) NOT NULL,
  creator_id  BIGINT NOT NULL,
  created_at  BIGINT NOT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE conversations (
  a        BIGINT NOT NULL COMMENT 'the smaller user, or 0 for a group',
  b        BIGINT NOT NULL COMMENT 'the larger user, or the group',
  last_seq BIGINT NOT NULL,
  PRIMARY KEY (a, b)
) ENGINE = InnoDB COMMENT = 'The lock for messages and membership';

CREATE TABLE messages (
  a            BIGINT NOT NULL,
  b            BIGINT NOT NULL,
  seq          BIGINT NOT NULL,
  frame_id     BINARY(16) NOT NULL,
  sender_id    BIGINT NOT NULL,
  sent_at      BIGINT NOT NULL COMMENT 'arrival at the edge',
  content_hash BINARY(32) NOT NULL COMMENT 'SHA-256 of the frame as the topic holds it',
  body         MEDIUMBLOB NOT NULL COMMENT 'the frame as recipients get it, up to its closing brace; UTF-8 JSON',
  PRIMARY KEY (a, b, seq),
  UNIQUE KEY messages_frame (a, b, frame_id)
) ENGINE = InnoDB COMMENT = 'A group message is one row, whatever the size of the group';

CREATE TABLE members (
  group_id   BIGINT NOT NULL,
  user_id    BIGINT NOT NULL,
  joined_seq BIGINT NOT NULL COMMENT 'what comes after this seq is for the member',
  joined_at  BIGINT NOT NULL,
  PRIMARY KEY (group_id, user_id)
) ENGINE = InnoDB;

CREATE TABLE cursors (
  user_id   BIGINT NOT NULL,
  a         BIGINT NOT NULL,
  b         BIGINT NOT NULL,
  delivered BIGINT NOT NULL COMMENT 'all up to this seq has reached one of the user''s devices, or is the user''s own',
  `read`    BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (user_id, a, b)
) ENGINE = InnoDB COMMENT = 'One for each conversation of a user: also the list of them';

-- Not audited.

CREATE TABLE applied (
  topic       VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'without the namespace',
  `partition` INT NOT NULL,
  next_offset BIGINT NOT NULL COMMENT 'the only authority on what has taken effect',
  announced   BIGINT NOT NULL COMMENT 'results below this offset have reached the channels',
  last_hash   BINARY(16) NOT NULL COMMENT 'of the record before next_offset: tells a topic that was made anew',
  PRIMARY KEY (topic, `partition`)
) ENGINE = InnoDB;

CREATE TABLE journal (
  number     BIGINT NOT NULL AUTO_INCREMENT COMMENT 'a serial order of all that changed audited rows; rollbacks leave gaps',
  topic      VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  rules      INT NOT NULL COMMENT 'version of the rules that decided',
  ranges     BLOB NOT NULL COMMENT 'JSON: [[partition, first offset, last offset], ...]',
  inputs     MEDIUMBLOB NULL COMMENT 'JSON: [[partition, offset, input], ...]: what decided rows besides the records',
  dead       BLOB NULL COMMENT 'JSON: [[partition, offset], ...]: records that no handler could take',
  PRIMARY KEY (number),
  KEY journal_topic (topic)
) ENGINE = InnoDB;

CREATE TABLE sessions (
  id         BINARY(16) NOT NULL COMMENT 'first half of the token''s SHA-256',
  user_id    BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (id),
  KEY sessions_user (user_id),
  KEY sessions_expiry (expires_at)
) ENGINE = InnoDB;

CREATE TABLE outcomes (
  id           BINARY(16) NOT NULL COMMENT 'the frame id; for registrations with an id a keyed hash',
  content_hash BINARY(32) NOT NULL,
  recorded_at  BIGINT NOT NULL,
  reply        BLOB NOT NULL COMMENT 'JSON: the keys of the reply besides msgType, code and id',
  PRIMARY KEY (id),
  KEY outcomes_age (recorded_at)
) ENGINE = InnoDB COMMENT = 'Successes of other frames than chat, for repeats';

CREATE TABLE name_grams (
  gram    VARBINARY(8) NOT NULL COMMENT 'one or two characters of the lower-case name, as UTF-8',
  user_id BIGINT NOT NULL,
  PRIMARY KEY (gram, user_id)
) ENGINE = InnoDB COMMENT = 'Finds names by any part of them, in any script';
