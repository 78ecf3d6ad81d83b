// Package events holds Fairlead's lifecycle events: their CloudEvents 1.0 form and
// the public log they are read from.
//
// An event is a past fact about one resource. Services put events into a
// store.Batch, so that a change and its events are written together or not at all;
// the stream EVENTS then sources them from every service's stream. Nothing else
// publishes events.
//
// Guarantees of the log:
//   - Every event of a committed batch appears in it, once, and events of one
//     service appear in the order in which their batches were committed.
//   - Events of one resource carry a contiguous Sequence, so that a reader can see
//     that it missed none.
//   - An event stays readable for LogConfig.MaxAge. A cursor older than the log
//     gives an error that matches ErrExpired, never a silent gap.
//   - A plain NATS subscriber on "fairlead.events.>" receives every event while it
//     is connected; only Log.Read, or a JetStream consumer, survives interruptions.
//
// A reader that stores its cursor after acting sees an event again when it is
// interrupted in between: handle events idempotently, by their ID.
//
// All functions and methods are safe for concurrent use.
package events
