package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/fairlead/fairlead/platform/events"
	"github.com/fairlead/fairlead/platform/resourcename"
	"github.com/fairlead/fairlead/platform/store"
	"github.com/fairlead/fairlead/services/auth/internal/audit"
)

const (
	auditPrefix = "audit"
	// trimEvery is how often the oldest entries are removed.
	trimEvery = time.Minute
	// trimBatch is how many are removed at once.
	trimBatch = 400
)

// AuditLog keeps the entries of the audit log, each under an id that sorts by
// time of arrival. The store removes what is too old; Run removes what is too many.
type AuditLog struct {
	store store.Store
	cache *store.Cache[audit.Entry]
	log   *slog.Logger
}

// NewAuditLog makes the log.
func NewAuditLog(st store.Store, log *slog.Logger) *AuditLog {
	return &AuditLog{store: st, log: log, cache: store.NewCache(st, store.CacheConfig[audit.Entry]{
		Prefix: auditPrefix, Decode: decode[audit.Entry], Logger: log,
	})}
}

// Follow keeps the view of the log fresh until ctx ends.
func (l *AuditLog) Follow(ctx context.Context) error { return l.cache.Run(ctx) }

// WaitSynced blocks until the view is whole.
func (l *AuditLog) WaitSynced(ctx context.Context) error { return l.cache.WaitSynced(ctx) }

// Run removes the oldest entries when there are too many, until ctx ends.
func (l *AuditLog) Run(ctx context.Context) error {
	ticker := time.NewTicker(trimEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := l.Trim(ctx, audit.Limits{Entries: audit.MaxEntries, Refused: audit.MaxRefused}); err != nil && ctx.Err() == nil {
			l.log.Error("the audit log was not trimmed, tried again in a minute", "error", err)
		}
	}
}

// Trim removes the oldest entries that are beyond the limits.
func (l *AuditLog) Trim(ctx context.Context, limits audit.Limits) error {
	items := l.cache.List(auditPrefix)
	entries := make([]audit.Entry, len(items))
	for i, it := range items {
		entries[i] = it.Value
	}
	for part := range slices.Chunk(limits.Excess(entries), trimBatch) {
		var b store.Batch
		for _, i := range part {
			b.Ops = append(b.Ops, store.Delete(items[i].Key, items[i].Revision))
		}
		_, err := l.store.Apply(ctx, b)
		if _, conflict := errors.AsType[*store.ConflictError](err); err != nil && !conflict { // another instance was faster
			return err
		}
	}
	return nil
}

// Append adds entries; the same batch again is added once.
func (l *AuditLog) Append(ctx context.Context, batchID string, entries []audit.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	b := store.Batch{ID: batchID}
	for _, e := range entries {
		e.ID = events.NewID()
		value, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("encode an audit entry: %w", err)
		}
		b.Ops = append(b.Ops, store.Create(resourcename.Format(auditPrefix, e.ID), value).WithTTL(audit.MaxAge))
	}
	revision, err := l.store.Apply(ctx, b)
	if err != nil {
		return err
	}
	return l.cache.WaitFor(ctx, revision)
}

// List gives the entries that match, newest first.
func (l *AuditLog) List(f audit.Filter) []audit.Entry {
	var out []audit.Entry
	for _, it := range slices.Backward(l.cache.List(auditPrefix)) {
		if f.Matches(it.Value) {
			out = append(out, it.Value)
		}
	}
	return out
}
