// Package bus starts the embedded NATS server and connects to NATS, embedded or
// remote.
//
// Guarantees:
//   - Every write that JetStream acknowledges has been synced to disk
//     (sync_interval "always"); nothing else survives a power cut. Config.Unsynced is
//     the exception.
//   - One process at a time uses a store directory; a second one is refused.
//   - A server that Run watches goes on by itself after its disk was full: when there
//     is room it is started again in place, with the same address, store and
//     credentials. Connections come back, and nothing acknowledged is lost.
//   - A TCP listener never accepts an unauthenticated connection: what each
//     connection may do is decided by the caller's Authenticator. Connections made
//     in process by Connect have full access and present a secret that never
//     leaves the process.
//   - A consumer, of some workspaces or of all, can subscribe to their events and can
//     do nothing else: it can't publish, so it can't reach the JetStream API, and it
//     can't listen to other connections' inboxes.
//   - Service connections receive replies below InboxPrefix, which no consumer may
//     subscribe to.
//
// Access.WithConsumers adds JetStream consumers on the stream EVENTS. It needs full
// trust: the server sends its answers, and what a consumer delivers, to whatever
// subject the client names, a service's state included. Who may only read gets plain
// subscriptions, or reads the log through the API.
//
// All functions and methods are safe for concurrent use.
package bus
