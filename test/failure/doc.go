// Package failure breaks whole installations while clients use them, and checks
// what the clients saw and what is there afterwards.
//
// A run sends scoring requests at a steady rate and changes the control plane,
// while the faults of a plan happen: processes and scorers are killed and frozen,
// the disk is full, NATS is cut off, a clock is wrong. Which requests may fail is
// exact: those under way at a scorer or router when it was killed, and those sent
// while there is no router. Everything else must be answered, rightly. Afterwards
// everything that was acknowledged is there, the events tell it without a gap, and
// nothing is left over.
//
// The plan is a function of a seed. FAIRLEAD_FAILURE_SEED repeats one; FAIRLEAD_SOAK
// says how long faults go on.
//
// The clock that is skewed is the one that services decide by (--clock-offset). TLS,
// NATS and timers keep the machine's: a process has no other to be given.
package failure
