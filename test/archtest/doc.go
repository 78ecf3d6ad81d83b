// Package archtest holds the repository to its layers and budgets.
//
// The rules are data, each with its reason: layers.go says who may import what,
// budgets.go how large things may grow and what no code does. Everything is read
// from the source by its syntax, so that files for other systems count too.
// Generated code is exempt. All values are immutable once loaded.
package archtest
