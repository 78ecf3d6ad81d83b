// Package rpc is how services talk to each other: one constructor for every
// gRPC server, one for every client connection, and the network between them,
// in memory or over TCP with mutual TLS.
//
// Every server does the same things around a handler, in this order: recover
// from a panic, give the request an id and a deadline, say who the caller is
// (a person or program by bearer token, a service by its transport), refuse
// methods that are for services only, validate the request by its protovalidate
// rules with all violations at once, and map the error to google.rpc.Status.
//
// A service's identity comes from the transport alone: from its certificate
// over TCP, from its dialler in memory. The service "gateway" carries the calls
// of others and therefore never counts as a caller itself. A service that calls
// another while it answers somebody passes on who that is.
//
// Calls that change something, and those that are refused, are told to an
// Auditor when they have ended. The contract says which change something: those
// that it does not bind to GET.
//
// Everything here is safe for concurrent use.
package rpc
