// Package crashloop decides what is done about a process that ends by itself: how long to wait before it is started again, and
// when that has no sense any more.
//
// Its functions are pure and may be called from any goroutine.
package crashloop

import (
	"fmt"
	"slices"
	"time"
)

// The deaths within window may weigh less than limit in sum: five without a request, or ten of processes that answered nothing. A
// process that has answered and dies of a request shows that some requests are bad, not the process.
const (
	window          = time.Minute
	limit           = 20
	idleWeight      = 4
	fruitlessWeight = 2

	firstPause = 100 * time.Millisecond
	maxPause   = 10 * time.Second
)

// Death is an end of a process that the scorer did not bring about.
type Death struct {
	At time.Time
	// Serving says that it held a request.
	Serving  bool
	Answered int64
	// Killed says that somebody else killed it, which says nothing of a process that has answered.
	Killed bool
	// Exit says how it ended.
	Exit string
}

func (d Death) weight() int {
	switch {
	case !d.Serving:
		return idleWeight
	case d.Answered == 0:
		return fruitlessWeight
	}
	return 0
}

// Judge gives the deaths that still count at the last one, which is now, and why they are too many; empty when they are not. what
// names the process.
func Judge(what string, deaths []Death) (counted []Death, verdict string) {
	if len(deaths) == 0 {
		return nil, ""
	}
	last := deaths[len(deaths)-1]
	for _, d := range deaths {
		switch {
		case d.Killed && d.Answered > 0:
			// Its predecessors that were killed could have answered, too.
			counted = slices.DeleteFunc(counted, func(d Death) bool { return d.Killed })
		case d.weight() > 0 && last.At.Sub(d.At) < window:
			counted = append(counted, d)
		}
	}
	sum, idle := 0, 0
	for _, d := range counted {
		sum += d.weight()
		if !d.Serving {
			idle++
		}
	}
	if sum < limit {
		return counted, ""
	}
	return counted, fmt.Sprintf("%s died %d times within %s, %d times while it ran no request; the last time: %s",
		what, len(counted), last.At.Sub(counted[0].At).Round(time.Second), idle, last.Exit)
}

// Pause is how long to wait before a process is replaced, after so many that ended without having answered anything. The first is
// replaced at once. jitter is in [0, 1) and takes up to a fifth off, so that processes do not restart in step.
func Pause(fruitless int, jitter float64) time.Duration {
	if fruitless <= 0 {
		return 0
	}
	d := maxPause
	if shift := fruitless - 1; shift < 16 {
		d = min(maxPause, firstPause<<shift)
	}
	return d - time.Duration(jitter*float64(d)/5)
}
