// Package assembly puts the services together: all of them in one process
// (Up), or some of them in one of several processes (Serve).
//
// Both build the same services with the same functions, one for each service in
// build.go; only the network between them and the NATS server differ. No
// service knows which it is in. The package is the only one that imports the
// services, and holds no logic of theirs.
package assembly
