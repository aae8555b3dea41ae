DROP TABLE name_grams, outcomes, sessions, journal, applied, cursors, members, messages, conversations, `groups`, friends, users, sequences;
