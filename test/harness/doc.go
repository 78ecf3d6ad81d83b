// Package harness starts whole installations of Fairlead for tests, as real
// processes of the real binary, and speaks to them as users do.
//
// An installation is one of two assemblies: all services in one process, or one
// process for each service, over TCP with mutual TLS and a NATS server. Each runs
// a scenario in both. The processes listen on loopback ports below the range from
// which the system gives ports by itself, so that a restarted process finds its
// own ports free. They end with the test, also when the test is killed, and a test
// fails when a process of its data folder outlives the installation.
//
// Methods that take no context fail the test on trouble and belong to its
// goroutine; those that take one return errors and may be called from anywhere.
package harness
