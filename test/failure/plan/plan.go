// Package plan decides what breaks, and when: a pure function of a seed.
//
// A plan deals a shuffled deck, again and again: each deal has every kind of
// fault on every target that a site has, once. At most two faults are there at the
// same time, never two on one target, and nothing else while the disk is full. A
// longer plan of the same seed begins with the shorter one. All functions may be
// called from anywhere.
package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Kind is what breaks.
type Kind string

// The kinds of faults.
const (
	// Kill is SIGKILL of a process, which is started again at the end.
	Kill Kind = "kill"
	// Freeze is SIGSTOP of a process, and SIGCONT at the end.
	Freeze Kind = "freeze"
	// KillReplica is SIGKILL of a scorer. Starting it again is the control plane's work.
	KillReplica Kind = "kill replica"
	// FreezeReplica is SIGSTOP of a scorer, and SIGCONT at the end.
	FreezeReplica Kind = "freeze replica"
	// FillDisk leaves no byte free on the disk of all state.
	FillDisk Kind = "fill disk"
	// Sever resets the connections to NATS, and refuses new ones.
	Sever Kind = "sever nats"
	// Silence keeps the connections to NATS open, and passes nothing on.
	Silence Kind = "silence nats"
	// Skew starts a process anew with another clock, and again with the right one
	// at the end.
	Skew Kind = "skew clock"
)

// Fault is one thing that breaks for a time.
type Fault struct {
	// At is when it begins, after the begin of the plan, and For how long it lasts.
	At, For time.Duration
	Kind    Kind
	// Target is a process; empty for faults of replicas, the disk and the network.
	Target string
	// Choice chooses among the replicas that there are.
	Choice uint64
	// Offset is by how much a skewed clock is ahead; it may be negative.
	Offset time.Duration
}

func (f Fault) String() string {
	text := fmt.Sprintf("%7.3fs %s", f.At.Seconds(), f.Kind)
	if f.Target != "" {
		text += " of " + f.Target
	}
	if f.Kind == Skew {
		text += fmt.Sprintf(" by %v", f.Offset)
	}
	return text + fmt.Sprintf(" for %v", f.For.Round(time.Millisecond))
}

// Site is what there is to break.
type Site struct {
	// Processes can be killed and frozen, those of Clocks can be skewed.
	Processes, Clocks []string
	// Disk and Wire say whether the disk can be filled and NATS be cut off.
	Disk, Wire bool
}

// The times of faults.
const (
	shortest, longest = 100 * time.Millisecond, 1500 * time.Millisecond
	// A skewed clock stays long enough for other faults to happen under it.
	skewLonger = 2 * time.Second
	// A new fault begins after a pause of at least and less than this.
	leastPause, mostPause = 200 * time.Millisecond, 1200 * time.Millisecond
	// recovery is how long a target is left alone after a fault, and everything
	// after a full disk.
	recovery = 2 * time.Second
	// most is how many faults there are at the same time.
	most = 2
	// largestOffset is the most that a clock is wrong.
	largestOffset = 2 * time.Hour
	// replicaCards is how often a deal kills a scorer.
	replicaCards = 2
)

// Make gives the faults of a seed that begin before length is over, in order.
func Make(seed uint64, site Site, length time.Duration) []Fault {
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // to be repeated
	var faults []Fault
	cards := deck(site)
	if len(cards) == 0 {
		return nil
	}
	var now time.Duration
	for {
		random.Shuffle(len(cards), func(a, b int) { cards[a], cards[b] = cards[b], cards[a] })
		for _, card := range cards {
			f := draw(random, card)
			f.At = earliest(faults, f, now+between(random, leastPause, mostPause))
			if f.At >= length {
				return faults
			}
			faults, now = append(faults, f), f.At
		}
	}
}

// Deal is how many faults have every kind on every target once.
func Deal(site Site) int { return len(deck(site)) }

// deck has a card for every kind of fault on every target.
func deck(site Site) []Fault {
	cards := []Fault{{Kind: FreezeReplica}}
	cards = append(cards, slices.Repeat([]Fault{{Kind: KillReplica}}, replicaCards)...)
	for _, p := range site.Processes {
		cards = append(cards, Fault{Kind: Kill, Target: p}, Fault{Kind: Freeze, Target: p})
	}
	for _, p := range site.Clocks {
		cards = append(cards, Fault{Kind: Skew, Target: p})
	}
	if site.Disk {
		cards = append(cards, Fault{Kind: FillDisk})
	}
	if site.Wire {
		cards = append(cards, Fault{Kind: Sever}, Fault{Kind: Silence})
	}
	return cards
}

// draw fills a card in. It takes as much from random for every card.
func draw(random *rand.Rand, card Fault) Fault {
	card.For = between(random, shortest, longest)
	card.Choice = random.Uint64()
	offset := between(random, -largestOffset, largestOffset).Round(time.Second)
	if card.Kind == Skew {
		card.For += skewLonger
		card.Offset = offset
	}
	return card
}

func between(random *rand.Rand, least, below time.Duration) time.Duration {
	return least + time.Duration(random.Int64N(int64(below-least)))
}

// earliest gives the first time from a moment at which a fault may begin beside
// those that are planned, all of which begin before it.
func earliest(planned []Fault, f Fault, from time.Duration) time.Duration {
	for {
		wait := until(planned, f, from)
		if wait <= from {
			return from
		}
		from = wait
	}
}

// until gives when something that keeps a fault from beginning ends.
func until(planned []Fault, f Fault, at time.Duration) time.Duration {
	under := 0
	first := time.Duration(-1)
	for _, p := range slices.Backward(planned) {
		end := p.At + p.For
		if blocked := end + recovery; blocked > at && conflict(p, f) {
			return blocked
		}
		if end > at {
			under++
			if first < 0 || end < first {
				first = end
			}
		}
	}
	if under >= most {
		return first
	}
	return at
}

// conflict says whether one fault must be over before the other one begins.
func conflict(a, b Fault) bool {
	return a.Kind == FillDisk || b.Kind == FillDisk || a.Target == b.Target && a.Target != "" ||
		a.Kind == b.Kind && a.Target == b.Target || cuts(a) && cuts(b)
}

func cuts(f Fault) bool { return f.Kind == Sever || f.Kind == Silence }
