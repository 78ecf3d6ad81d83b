// Package integration holds the scenarios that a user of Fairlead would go
// through, against real processes. Unless a scenario says why not, it runs in both
// assemblies.
package integration
