// Package jetstream keeps a service's state in one NATS JetStream stream, with its
// outgoing events beside it, and so implements package store.
//
// The stream KV_<service> holds one message per key ("$KV.<service>.<key>") and one
// per event ("evo.<service>.…"); a batch is one atomic publish, so state and events
// are written together. The stream EVENTS sources the events (events.EnsureLog).
// Nothing relays them.
//
// Beyond what package store guarantees:
//   - Reads are answered by the stream's leader, never by a replica.
//   - A write whose answer is lost is repeated with the same message ids, so that it
//     is applied once.
//   - A watch survives lost connections, lost consumers and a stream that is deleted
//     and made again, or restored from an older copy: it notices by the connection,
//     by gaps, and by comparing the stream's identity and position from time to time,
//     and then reports everything anew.
//   - Deleted keys leave a marker for a day; an expired key vanishes without one.
//
// At most maxInFlight batches of one Store are under way; more wait. Several Stores,
// in one or several processes, may use the same stream.
package jetstream
