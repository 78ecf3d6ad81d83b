// Package store is the port through which a service keeps its state: keys and
// values with revisions, atomic batches that carry events, watches, and a local
// cache fed by a watch.
//
// Guarantees, which package storetest checks for every implementation:
//   - Atomicity. A batch is applied whole or not at all: its ops, and its events in
//     the order given.
//   - Compare-and-set. An op or guard that names a revision holds at the instant the
//     batch is applied, or the batch is refused with a *ConflictError.
//   - Order. Revisions grow with every op; the ops of one batch have consecutive
//     revisions in the order given. Events appear in the log in commit order.
//   - Idempotency. A batch ID is applied once within DedupeWindow, also when a call
//     ended without an answer. For longer, put a record that must be absent into the
//     batch.
//   - Reads. Get and List never return less than what was committed before they were
//     called. A watch, and a Cache, lag behind: wait with Cache.WaitFor for the
//     revision that Apply returned.
//   - Watches. Every key present is reported, then Synced, then every change in
//     order; changes of one key that follow each other closely may be reported as the
//     last one only. The ops of one batch are reported one by one. After an
//     interruption, also when the store was restored from an older copy, the watch
//     reports everything anew, with deletes for keys that are gone, and Synced again.
//
// Keys are segments joined by "/", such as "workspaces/w/endpoints/e". A prefix is
// whole segments: "a/b" selects "a/b/c" and "a/b/c/d", but neither "a/b" nor "a/bc".
//
// All implementations and all types here are safe for concurrent use. Values handed
// out must not be changed.
package store
