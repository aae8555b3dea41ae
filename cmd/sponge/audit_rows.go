package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"sponge/pkg/audit/view"
	"sponge/pkg/protocol"
)

// storedMessages looks messages up in MySQL.
type storedMessages struct{ db *sql.DB }

// Find implements view.Messages, by the unique key messages_frame.
func (s storedMessages) Find(ctx context.Context, keys []view.MessageKey) (map[view.MessageKey]view.Message, error) {
	query := "SELECT a, b, frame_id, seq, sent_at, content_hash FROM messages FORCE INDEX (messages_frame) WHERE (a, b, frame_id) IN (" +
		strings.TrimSuffix(strings.Repeat("(?,?,?),", len(keys)), ",") + ")"
	args := make([]any, 0, 3*len(keys))
	for i := range keys {
		args = append(args, keys[i].Conversation.A, keys[i].Conversation.B, keys[i].Frame[:])
	}
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("look messages up: %w", err)
	}
	defer rows.Close()
	found := make(map[view.MessageKey]view.Message, len(keys))
	for rows.Next() {
		var k view.MessageKey
		var m view.Message
		var frame, hash []byte
		if err := rows.Scan(&k.Conversation.A, &k.Conversation.B, &frame, &m.Seq, &m.SentAt, &hash); err != nil {
			return nil, fmt.Errorf("look messages up: %w", err)
		}
		k.Frame, m.Hash = protocol.FrameID(frame), [32]byte(hash)
		found[k] = m
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look messages up: %w", err)
	}
	return found, nil
}
